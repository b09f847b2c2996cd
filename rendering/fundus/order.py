"""What the driver says of a scene: enough to draw it, which is left to the actors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .config import FundusConfig, PairKind
from .sampling import sample_fundus
from .scenes import FundusSpec


@dataclass(frozen=True)
class FundusOrder:
    """The arguments of `sample_fundus`."""

    config: FundusConfig
    seed: int
    index: int
    size: int
    kind: PairKind

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> FundusOrder:
        """The order that `to_json` wrote."""
        content = json.loads(text)
        settings: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in content.pop("config").items()
        }
        return cls(config=FundusConfig(**settings), **content)


def read_scene(text: str) -> FundusSpec:
    """The scene that an order in JSON means."""
    order = FundusOrder.from_json(text)
    return sample_fundus(order.config, order.seed, order.index, order.size, order.kind)
