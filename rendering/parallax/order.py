"""What the driver says of a scene: enough to draw it, which takes up to half a second and is left to the actors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .config import Difficulty, ParallaxConfig
from .sampling import sample_parallax
from .scenes import ParallaxSpec


@dataclass(frozen=True)
class ParallaxOrder:
    """The arguments of `sample_parallax`."""

    config: ParallaxConfig
    seed: int
    index: int
    size: int
    difficulty: Difficulty

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> ParallaxOrder:
        """The order that `to_json` wrote."""
        content = json.loads(text)
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.pop("config").items()
        }
        return cls(config=ParallaxConfig(**settings), **content)

    def draw(self) -> ParallaxSpec:
        """The scene, the same on every machine."""
        return sample_parallax(self.config, self.seed, self.index, self.size, self.difficulty)


def read_scene(text: str) -> ParallaxSpec:
    """The scene that an order in JSON means."""
    return ParallaxOrder.from_json(text).draw()
