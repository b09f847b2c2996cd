"""Renders on a Ray cluster of three machines in one; one is taken away in the middle, another is added.

Run as `python cluster_job.py OUT ARGUMENTS...`; says on which machines scenes were rendered.
"""

from __future__ import annotations

import sys

import ray
from ray.cluster_utils import Cluster

from raylign.platform import cli
from raylign.platform.data.shards import published_shards
from raylign.rendering.watch import Watch


def main(out: str, arguments: list[str]) -> int:
    # The head has no CPU: it can be neither removed nor rendered on.
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    leaving = [cluster.add_node(num_cpus=1)]
    cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    nodes: set[str] = set()
    count = Watch.scene

    def scene(watch: Watch, change: int, node: str) -> None:
        nodes.add(node)
        count(watch, change, node)
        if leaving and len(published_shards(out)) >= 2:
            cluster.remove_node(leaving.pop(), allow_graceful=False)
            cluster.add_node(num_cpus=1)

    Watch.scene = scene  # type: ignore[method-assign]
    try:
        status = cli.main(["render", *arguments, "--out", out, "--address", cluster.address])
        print(f"rendered on {len(nodes)} machines: {' '.join(sorted(nodes))}")
        return status
    finally:
        ray.shutdown()
        cluster.shutdown()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
