"""What the driver says of a scene: enough to draw it, which is left to the actors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from ..streams import count, stream
from .config import CollageConfig
from .materials import draw_material
from .sampling import sample_collage
from .scenes import CollageSpec, MaterialSpec


@dataclass(frozen=True)
class CollageOrder:
    """The arguments of `sample_collage`."""

    config: CollageConfig
    seed: int
    index: int
    size: int
    materials: tuple[MaterialSpec, ...]

    @classmethod
    def place(
        cls, config: CollageConfig, seed: int, index: int, size: int, split: str, pictures: list[str]
    ) -> CollageOrder:
        """The order of scene `index`, with materials from its split's own pool.

        Args:
            config: what a scene may look like.
            seed: the dataset's seed.
            index: the scene's place in the dataset.
            size: height of the pictures, in pixels.
            split: name of the scene's split.
            pictures: names of the split's picture files.
        """
        rng = stream("collage", seed, index, "materials")
        numbers = [int(rng.random() * config.material_pool) for _ in range(count(rng, config.materials))]
        materials = tuple(draw_material(config, seed, split, number, pictures) for number in numbers)
        return cls(config, seed, index, size, materials)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CollageOrder:
        """The order that `to_json` wrote."""
        content = json.loads(text)
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.pop("config").items()
        }
        materials = tuple(
            MaterialSpec(each["family"], each["seed"], each["picture"], tuple(each["crop"]))
            for each in content.pop("materials")
        )
        return cls(config=CollageConfig(**settings), materials=materials, **content)


def read_scene(text: str) -> CollageSpec:
    """The scene that an order in JSON means."""
    order = CollageOrder.from_json(text)
    return sample_collage(order.config, order.seed, order.index, order.size, order.materials)
