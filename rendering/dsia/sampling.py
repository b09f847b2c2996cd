"""Draws a pair from (dataset seed, scene, pair): the same on every machine, Python and NumPy.

The place and who is in it come first and are the scene's; then the pair's moment: where everyone is, the time between
the two pictures and the camera's way. Both follow from the motion that is asked for, estimated by rays through a coarse
grid of pixels and by points of people and things; the renderer measures it (`meta.py`).
"""

from __future__ import annotations

import colorsys
import dataclasses
import math
import random
from collections.abc import Callable

import numpy as np

from ...methods.errors import InputError
from ..cameras import Vector
from ..parallax.casting import Caster
from ..parallax.config import Layout
from ..parallax.geometry import AHEAD, axes, inside, to_camera, to_pixels, turned, unit
from ..parallax.kit import Kit
from ..parallax.looking import Grid
from ..parallax.places import build_place, draw_sky, light_colour
from ..parallax.scenes import LampSpec, SkySpec, ViewSpec
from ..parallax.stage import Stage
from ..streams import Range, choice, stream, uniform
from .assets import AssetList
from .cast import Member, draw_action, draw_cast
from .config import DsiaConfig, Move, Subset
from .moves import Path
from .scenes import DsiaSpec, LightSpec, MoverSpec
from .tracks import Track, draw_track

SAMPLER_VERSION = 3
"""Counts the changes to this package or to the renderer that change what a seed makes; it is part of the settings."""

KIND = "dsia"
PLACES, TRIALS, MOMENTS, SPOTS = 12, 3, 40, 24
"""Places of a scene, looks at a place, moments of a pair and spots of a member that are drawn before they count as
impossible."""
STEP = 1024
"""Lapses and ways of the camera are whole multiples of 1/STEP seconds and metres."""
INNER = 0.12
"""The estimate keeps this share of a range's width away from its ends, for the measured value differs from it."""
OVERLAP = 0.3
"""Least share of the reference's pixels of what stands still that the source sees."""
GROUND = (-0.1, 0.35)
"""Heights of the ground that people and things may stand on, in metres."""
LEVEL = 0.03
"""Most that the ground may rise or fall along a way, in metres."""
ROOM = 0.1
"""Space that stays free around people and things, in metres."""
PERSONAL = 1.2
"""Least distance between a camera and the middle of people and things, beside their own radius, in metres."""
MARGIN = 0.08
"""Part of the picture's width at each side in which no one is placed."""
LEVELS = (-0.8, 0.0, 0.8)
"""Heights of people and things at which there must be room around them, in half heights from their middle."""


def sample_dsia(
    config: DsiaConfig, seed: int, scene: int, pair: int, size: int, subset: Subset, assets: AssetList
) -> DsiaSpec:
    """The pair `pair` of the scene `scene` of the dataset with seed `seed`.

    Args:
        config: what a scene may look like.
        seed: the dataset's seed.
        scene: number of the scene.
        pair: number of the pair in its scene.
        size: height of the pictures, in pixels.
        subset: motion that is asked for.
        assets: the user's own people, things and panoramas; each empty list means the built-in ones.

    Raises:
        InputError: the settings leave no room for such a pair.
    """
    layout = choice(stream(KIND, seed, scene, "layout"), config.layouts)
    for attempt in range(PLACES):
        kit = Kit(stream(KIND, seed, scene, attempt, "place"))
        light = stream(KIND, seed, scene, attempt, "light")
        colour = light_colour(config, light)
        stage = build_place(config, layout, kit, colour)
        first = LightSpec(draw_sky(config, light, layout, colour), tuple(kit.lamps))
        members = draw_cast(
            config,
            assets.characters,
            assets.objects,
            stream(KIND, seed, scene, attempt, "cast"),
            indoors=layout == "room",
        )
        panorama, turn = None, 0.0
        if assets.panoramas and layout != "room":
            panorama, turn = choice(light, assets.panoramas), uniform(light, (0.0, 360.0))
        ambient = uniform(light, config.ambient)
        caster = Caster(kit.parts)
        obstacles = Caster([each for each in kit.parts if each.centre[2] + each.half[2] > GROUND[1]])

        def moment(*name: str | int, asked: Subset = subset) -> _Moment:
            rng = stream(KIND, seed, scene, attempt, *name)  # noqa: B023
            return _Moment(config, caster, obstacles, stage, members, asked, size, rng)  # noqa: B023

        # Whether a place will do does not depend on the pair, so that all pairs of a scene are in the same one.
        if not any(moment("trial", trial, asked="LcLf").has_room() for trial in range(TRIALS)):
            continue
        for number in range(MOMENTS):
            current = moment("pair", pair, number)
            found, rng = current.draw(), current.rng
            if found is None:
                continue
            return DsiaSpec(
                dataset_seed=seed,
                index=scene * config.pairs + pair,
                scene=scene,
                pair=pair,
                width=round(size * config.aspect),
                height=size,
                layout=layout,
                subset=subset,
                move=found.move,
                samples=config.samples,
                bounces=config.bounces,
                denoise=config.denoise,
                exposure=config.exposure,
                ambient=ambient,
                lapse=found.lapse,
                surfaces=tuple(kit.surfaces),
                parts=tuple(kit.parts),
                movers=found.movers,
                lights=(first, _later(config, first, layout, rng)),
                panorama=panorama,
                panorama_turn=turn,
                views=found.views,
            )
    raise InputError(
        f"--scene: no {layout} of {PLACES} has people or things with a motion as {subset} asks for; "
        "widen --scene.lapse, --scene.distance or the ranges of the motion"
    )


def _later(config: DsiaConfig, light: LightSpec, layout: Layout, rng: random.Random) -> LightSpec:
    """The light of time 2."""
    if rng.random() >= config.light_change:
        return light
    ratios = [uniform(rng, config.light_ratio) for _ in range(3)]
    cosine, sine = turned(uniform(rng, config.sun_turn))
    x, y, z = light.sky.sun
    hue, saturation = 0.09 if rng.random() < 0.7 else 0.6, uniform(rng, config.light_saturation)
    colour = colorsys.hsv_to_rgb(hue, saturation, 1.0)
    indoors = layout == "room"
    sky: SkySpec = dataclasses.replace(
        light.sky,
        strength=light.sky.strength * (ratios[0] if indoors else math.sqrt(ratios[0])),
        sun=unit((cosine * x - sine * y, sine * x + cosine * y, z)),
        sun_strength=light.sky.sun_strength * ratios[1],
        sun_colour=colour,
    )
    lamps: list[LampSpec] = [
        dataclasses.replace(lamp, energy=lamp.energy * ratios[2], colour=colour) for lamp in light.lamps
    ]
    return LightSpec(sky, tuple(lamps))


@dataclasses.dataclass(frozen=True)
class _Found:
    """A moment that is as it was asked for."""

    move: Move
    lapse: float
    movers: tuple[MoverSpec, ...]
    views: tuple[ViewSpec, ViewSpec]


class _Moment:
    """One try at two moments in a place."""

    def __init__(
        self,
        config: DsiaConfig,
        caster: Caster,
        obstacles: Caster,
        stage: Stage,
        members: list[Member],
        subset: Subset,
        size: int,
        rng: random.Random,
    ) -> None:
        self.config, self.caster, self.obstacles = config, caster, obstacles
        self.members, self.subset, self.rng = members, subset, rng
        self.size = round(size * config.aspect), size
        self.pan = turned(stage.pan + uniform(rng, (-6, 6)))
        self.tilt = turned(stage.tilt + uniform(rng, (-3, 2)))
        x, y, z = stage.eye
        eye = x + uniform(rng, (-0.2, 0.2)), y + uniform(rng, (-0.2, 0.2)), z + uniform(rng, (-0.15, 0.15))
        right, up = axes(self.pan, self.tilt, AHEAD)
        shift, noise = uniform(rng, config.exposure_shift), int(rng.random() * 2**31)
        self.view = ViewSpec(eye, right, up, uniform(rng, config.lens), shift, noise)

    def has_room(self) -> bool:
        """Whether the camera has a free view, and everyone who must be there finds a spot."""
        return Grid(self.caster, self.view, self.size).free and self._complete(self._tracks())

    def _complete(self, tracks: list[Track]) -> bool:
        people = sum(each.member.kind == "person" for each in tracks)
        return people >= self.config.people[0] and len(tracks) - people >= self.config.things[0]

    def draw(self) -> _Found | None:
        """The moment, or None where it cannot be as it was asked for."""
        grid = Grid(self.caster, self.view, self.size)
        if not grid.free:
            return None
        tracks = self._tracks()
        if not self._complete(tracks):
            return None
        lapse = self._lapse(tracks)
        if lapse is None:
            return None
        move = choice(self.rng, self.config.moves)
        pivot = max(1.0, grid.usual_distance)
        shift = uniform(self.rng, self.config.exposure_shift)
        path = Path(self.view, self.pan, self.tilt, move, pivot, shift, self.rng)
        second = self._second(grid, path)
        if second is None or not self._apart(tracks, lapse, second):
            return None
        movers = tuple(
            MoverSpec(
                each.member.kind,
                each.member.number,
                each.member.asset,
                each.action,
                each.member.height,
                (each.pose(0.0), each.pose(lapse)),
            )
            for each in tracks
        )
        return _Found(move, lapse, movers, (self.view, second))

    def _tracks(self) -> list[Track]:
        """Everyone who finds a spot."""
        large = self.subset.endswith("Lf")
        tracks: list[Track] = []
        for member in self.members:
            action = draw_action(member, large=large, rng=self.rng)
            for _ in range(SPOTS):
                spot = self._spot()
                if spot is None:
                    continue
                track = draw_track(self.config, member, action, spot, self.rng)
                if self._stands(track, 0.0) and all(_clear(track, other, 0.0) for other in tracks):
                    tracks.append(track)
                    break
        return tracks

    def _spot(self) -> Vector | None:
        """A point of the ground in view, at one of the distances."""
        width = self.size[0]
        column = uniform(self.rng, (MARGIN * width, (1 - MARGIN) * width))
        away = uniform(self.rng, self.config.distance)
        sideways = (column - (width - 1) / 2) / (self.view.lens / 36.0 * width)
        (c, s), (x, y, _) = self.pan, self.view.position
        spot = x + away * (c * sideways - s), y + away * (s * sideways + c)
        ground = self._ground(*spot)
        if ground is None:
            return None
        # Something may stand between: the chest must be seen.
        chest = (spot[0], spot[1], ground + 1.1)
        line = np.array([[a - b for a, b in zip(chest, self.view.position, strict=True)]])
        return (*spot, ground) if self.caster.cast(self.view.position, line)[0][0] > 1.0 else None

    def _ground(self, x: float, y: float) -> float | None:
        """Height of the ground, None where something else is there."""
        reach, _ = self.caster.cast((x, y, 2.1), np.array([[0.0, 0.0, -1.0]]))
        height = 2.1 - float(reach[0])
        return height if GROUND[0] <= height <= GROUND[1] else None

    def _stands(self, track: Track, time: float) -> bool:
        """Whether nothing of the place is where it is at a time, and the ground is level."""
        x, y, z = track.ground(time)
        ground = self._ground(x, y)
        if ground is None or abs(ground - z) > LEVEL:
            return False
        least = track.member.radius(track.action) + ROOM
        middle, half = z + track.altitude, track.member.height / 2
        return all(self.obstacles.clearance((x, y, max(z + 0.12, middle + share * half))) >= least for share in LEVELS)

    def _lapse(self, tracks: list[Track]) -> float | None:
        """The time until the second picture, in seconds: what brings the motion that is asked for."""
        wanted, found = self._wanted(self.config.foreground_motion(self.subset)), None
        low, high = self.config.lapse
        start = math.sqrt(low * min(high, 1.0))
        if tracks:
            found = _solve(lambda lapse: self._moved(tracks, lapse), wanted, start, self.config.lapse)
        if found is None:
            return None
        for part in (0.25, 0.5, 0.75, 1.0):
            time = found * part
            if not all(self._stands(each, time) for each in tracks):
                return None
            if not all(_clear(a, b, time) for number, a in enumerate(tracks) for b in tracks[:number]):
                return None
        return found

    def _moved(self, tracks: list[Track], lapse: float) -> float | None:
        """Mean motion of everyone as seen from view 1, in percent of the width."""
        total = weight = 0.0
        for track in tracks:
            begin, end = (self._pixels(track, time) for time in (0.0, lapse))
            if begin is None or end is None:
                return None
            seen = inside(begin, *self.size)
            if not seen.any():
                continue
            apart = end[seen] - begin[seen]
            mean = float(np.sqrt(apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1]).sum()) / int(seen.sum())
            # As many pixels as the box around it has.
            wide, high = (begin[seen].max(axis=0) - begin[seen].min(axis=0)).tolist()
            total, weight = total + wide * high * mean, weight + wide * high
        return 100 * total / weight / self.size[0] if weight else None

    def _pixels(self, track: Track, time: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]] | None:
        camera = to_camera(self.view, track.member.points(track.action, track.pose(time)))
        return to_pixels(self.view, camera, *self.size) if camera[:, 2].min() > 0.3 else None

    def _wanted(self, bounds: Range) -> float:
        low, high = bounds[0] + INNER * (bounds[1] - bounds[0]), bounds[1] - INNER * (bounds[1] - bounds[0])
        # Half of them evenly, half among the smaller values: twice as much is as far from a value as half of it.
        return uniform(self.rng, (low, high) if self.rng.random() < 0.5 else (low, math.sqrt(low * high)))

    def _second(self, grid: Grid, path: Path) -> ViewSpec | None:
        """View 2, at the end of a way that brings the motion that is asked for."""
        wanted = self._wanted(self.config.camera_motion(self.subset))
        start = path.pivot * wanted / 100
        amount = _solve(lambda way: self._flow(grid, path.at(way)), wanted, start, (1 / STEP, 4 * path.pivot))
        if amount is None:
            return None
        second = path.at(amount)
        return second if Grid(self.caster, second, self.size).free else None

    def _flow(self, grid: Grid, second: ViewSpec) -> float | None:
        """Mean motion of what stands still, in percent of the width; None where too little of it is seen."""
        visible, targets = grid.seen(second)
        if float(visible.mean()) < OVERLAP or (to_camera(second, grid.points)[~grid.sky, 2] < 0.2).any():
            return None
        apart = targets[visible] - grid.pixels[visible]
        total = float(np.sqrt(apart[:, 0] * apart[:, 0] + apart[:, 1] * apart[:, 1]).sum())
        return 100 * total / int(visible.sum()) / self.size[0]

    def _apart(self, tracks: list[Track], lapse: float, second: ViewSpec) -> bool:
        """Whether no one comes too near to a camera."""
        for track in tracks:
            least = PERSONAL + track.member.radius(track.action)
            for view in (self.view, second):
                for time in (0.0, lapse):
                    x, y, _ = (a - b for a, b in zip(track.ground(time), view.position, strict=True))
                    if x * x + y * y < least * least:
                        return False
        return True


def _clear(a: Track, b: Track, time: float) -> bool:
    """Whether two do not touch at a time."""
    (x, y, _), (u, v, _) = a.ground(time), b.ground(time)
    least = a.member.radius(a.action) + b.member.radius(b.action) + ROOM
    return (x - u) * (x - u) + (y - v) * (y - v) >= least * least


def _solve(measure: Callable[[float], float | None], wanted: float, start: float, bounds: Range) -> float | None:
    """Where a measure that grows from 0 is about as wanted (within a tenth), or None."""
    low, high = max(bounds[0], 1 / STEP), bounds[1]
    value = start
    for _ in range(10):
        value = max(round(min(max(value, low), high) * STEP) / STEP, 1 / STEP)
        found = measure(value)
        if found is None:
            return None
        if abs(found - wanted) <= 0.1 * wanted:
            return value
        if (found < wanted and value >= high) or (found > wanted and value <= low):
            return None
        value = value * min(3.0, max(1 / 3, wanted / max(found, 1e-6)))
    return None
