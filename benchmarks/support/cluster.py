"""A Redis Cluster of Valkey servers on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from redis import Redis
from redis.exceptions import RedisError

from benchmarks.support.waiting import wait_until
from reactions.core.errors import StackError
from reactions.demo.embedded import Valkey
from reactions.demo.process import free_port
from reactions.redis.server_options import VALKEY_OPTIONS

SLOTS = 16_384

FORM_S = 30.0
"""How long the nodes may take until each of them knows all slots."""

NODE_TIMEOUT_MS = 2_000
"""A node that is silent for so long counts as down, and a replica takes over."""

OPTIONS = {
    **VALKEY_OPTIONS,
    "cluster-enabled": "yes",
    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
    "cluster-require-full-coverage": "no",  # a missing node fails its own shards only
    "repl-diskless-sync-delay": "0",
}
"""Those of a node of a cluster."""


class Cluster:
    """Primaries with equal shares of the slots, each with the same number of replicas.

    Attributes:
        primaries: as the cluster begins.
        replicas: as the cluster begins; replica i follows primary i modulo their number.
    """

    def __init__(self, folder: Path, primaries: int = 3, replicas: int = 0) -> None:
        """
        Args:
            replicas: of each primary.
        """
        self._options: dict[str, dict[str, str]] = {}
        nodes = self.spare(folder, primaries * (1 + replicas))
        self.primaries, self.replicas = nodes[:primaries], nodes[primaries:]

    @property
    def nodes(self) -> list[Valkey]:
        return [*self.primaries, *self.replicas]

    @property
    def url(self) -> str:
        """A URL that names every node."""
        return f"redis://{','.join(f'{host_of(node)}:{node.port}' for node in self.nodes)}/0"

    def start(self) -> None:
        """Start all nodes, and wait until they form a cluster."""
        for node in self.nodes:
            self.start_node(node)
        share = len(self.primaries)
        bounds = [SLOTS * number // share for number in range(share + 1)]
        for node, first, end in zip(self.primaries, bounds, bounds[1:], strict=False):
            command(node, "CLUSTER", "ADDSLOTSRANGE", first, end - 1)
        first_node, *others = self.nodes
        for node in others:
            self.meet(node, first_node)
        wait_until(lambda: all(map(is_complete, self.nodes)), FORM_S, "the nodes form a cluster")
        for number, node in enumerate(self.replicas):
            follow(node, self.primaries[number % share])
        wait_until(lambda: all(map(_follows, self.replicas)), FORM_S, "the replicas are in step")

    def spare(self, folder: Path, number: int) -> list[Valkey]:
        """Make further nodes, which do not run and belong to no cluster yet."""
        made = list[Valkey]()
        for _ in range(number):
            name = f"node{len(self._options)}"
            self._options[name] = {**OPTIONS}
            made.append(self.make(folder, name, self._options[name]))
        return made

    def make(self, folder: Path, name: str, options: dict[str, str]) -> Valkey:
        """Make one node; what is added to ``options`` holds when it starts."""
        return Valkey(folder, name, options=options)

    def start_node(self, node: Valkey) -> None:
        """Start a node; if another process takes the port of its bus meanwhile, with another one.

        The default port of the bus, 10,000 above the node's, may not exist.
        """
        for last in (False, False, True):
            self._options[node.name]["cluster-port"] = str(free_port())
            try:
                node.start()
            except StackError:
                if last:
                    raise
            else:
                return

    def meet(self, node: Valkey, other: Valkey) -> None:
        """Let a node join the cluster of another one."""
        bus = self._options[other.name]["cluster-port"]
        address = getattr(other, "peer_host", "127.0.0.1")
        command(node, "CLUSTER", "MEET", address, other.port, bus)

    def stop(self) -> None:
        for node in self.nodes:
            node.kill()


@contextmanager
def running_cluster(folder: Path, nodes: int = 3, replicas: int = 0) -> Iterator[list[Valkey]]:
    """Run a cluster; yields the primaries, and then the replicas."""
    with ExitStack() as stack:
        cluster = Cluster(folder, nodes, replicas)
        stack.callback(cluster.stop)
        cluster.start()
        yield cluster.nodes


def host_of(node: Valkey) -> str:
    """Where clients reach a node."""
    return str(getattr(node, "host", "127.0.0.1"))


def command(node: Valkey, *words: str | int) -> Any:  # noqa: ANN401 - a reply of the server
    """Send a command to one node."""
    with Redis(host=host_of(node), port=node.port, socket_timeout=5) as client:
        return client.execute_command(*words)


def is_complete(node: Valkey) -> bool:
    """Whether a node answers and knows a node for every slot."""
    info: Any = command(node, "CLUSTER INFO")
    return bool(info["cluster_state"] == "ok" and info["cluster_slots_ok"] == str(SLOTS))


def follow(node: Valkey, primary: Valkey) -> None:
    """Make a node a replica, as soon as it knows the primary."""
    name = command(primary, "CLUSTER MYID").decode()

    def knows() -> bool:
        try:
            command(node, "CLUSTER", "REPLICATE", name)
        except RedisError:
            return False
        return True

    wait_until(knows, FORM_S, "a replica knows its primary")


def _follows(node: Valkey) -> bool:
    with Redis(host=host_of(node), port=node.port) as client:
        return bool(client.info("replication").get("master_link_status") == "up")


def slots_of(nodes: Sequence[Valkey]) -> dict[int, int]:
    """Return slot -> port of its primary, as the first of these nodes says."""
    found: Any = command(nodes[0], "CLUSTER", "SLOTS")
    if isinstance(found, dict):  # redis-py's form
        return {
            slot: int(of["primary"][1])
            for (first, last), of in found.items()
            for slot in range(first, last + 1)
        }
    return {slot: int(p[1]) for first, last, p, *_ in found for slot in range(first, last + 1)}
