"""A Redis Cluster of Valkey servers on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis

from benchmarks.support import servers
from benchmarks.support.waiting import wait_until
from reactions.demo.embedded import Valkey
from reactions.demo.process import free_port

SLOTS = 16_384
FORM_S = 30.0
"""How long the nodes may take until each of them knows all slots."""


@contextmanager
def running_cluster(folder: Path, nodes: int = 3) -> Iterator[list[Valkey]]:
    """Run a cluster of primaries without replicas; each has an equal share of the slots."""
    with ExitStack() as stack:
        made, buses = list[Valkey](), list[str]()
        for number in range(nodes):
            buses.append(str(free_port()))  # the default, 10,000 above the port, may not exist
            options = {"cluster-enabled": "yes", "cluster-port": buses[-1]}
            server = servers.running_redis(folder, f"node{number}", options)
            made.append(stack.enter_context(server))
        _join(made, buses)
        yield made


def _join(nodes: Sequence[Valkey], buses: Sequence[str]) -> None:
    bounds = [SLOTS * number // len(nodes) for number in range(len(nodes) + 1)]
    for node, first, end in zip(nodes, bounds, bounds[1:], strict=False):
        with Redis(port=node.port) as client:
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, end - 1)
    with Redis(port=nodes[0].port) as client:
        for node, bus in list(zip(nodes, buses, strict=True))[1:]:
            client.execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
    wait_until(lambda: all(map(_complete, nodes)), FORM_S, "the nodes form a cluster")


def _complete(node: Valkey) -> bool:
    with Redis(port=node.port) as client:
        info: Any = client.execute_command("CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS))
