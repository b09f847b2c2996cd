"""What the driver says of a pair: enough to draw it, which is left to the actors."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from .assets import AssetList, AssetSpec
from .config import DsiaConfig, Subset
from .sampling import sample_dsia
from .scenes import DsiaSpec


@dataclass(frozen=True)
class DsiaOrder:
    """The arguments of `sample_dsia`."""

    config: DsiaConfig
    seed: int
    scene: int
    pair: int
    size: int
    subset: Subset
    assets: AssetList

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> DsiaOrder:
        """The order that `to_json` wrote."""
        content = json.loads(text)
        return cls(
            config=DsiaConfig(**_tuples(content.pop("config"))), assets=_assets(content.pop("assets")), **content
        )

    def draw(self) -> DsiaSpec:
        """The pair, the same on every machine."""
        return sample_dsia(self.config, self.seed, self.scene, self.pair, self.size, self.subset, self.assets)


def _assets(content: dict[str, Any]) -> AssetList:
    lists = {
        name: tuple(AssetSpec(**_tuples(each)) for each in content[name])
        for name in ("characters", "objects", "panoramas")
    }
    skipped = tuple((name, reason) for name, reason in content["skipped"])
    return AssetList(folder=content["folder"], skipped=skipped, **lists)


def _tuples(content: dict[str, Any]) -> dict[str, Any]:
    """JSON knows lists only; the settings hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in content.items()}


def read_scene(text: str) -> DsiaSpec:
    """The pair that an order in JSON means."""
    return DsiaOrder.from_json(text).draw()
