"""The topologies that a run may have: the servers of the reactions, how to reach them, the broker.

To add one: a class with the methods of ``Stores``, an entry in ``TOPOLOGIES``, and its faults in
``chaos/faults/kinds.py``.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from benchmarks.support.cluster import Cluster
from benchmarks.support.rabbitmq import RabbitMq, RabbitMqCluster
from benchmarks.support.sentinel import Watched
from chaos.databases import Databases, OnePostgres, PostgresPair
from chaos.nodes import Store
from reactions.demo.embedded import Valkey
from reactions.redis.server_options import BROKER_OPTIONS


class Stores(Protocol):
    """The servers that store the reactions."""

    @property
    def url(self) -> str:
        """What ``redis_url`` says."""

    def start(self) -> None:
        """Start every server that does not run, and wait until they serve."""

    def kill(self) -> None:
        """Kill all of them with SIGKILL."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to all of them."""


class ClusterStore(Cluster):
    """A Redis Cluster of three primaries, with a replica each."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 3, 1)

    def kill(self) -> None:
        self.stop()

    def signal(self, number: signal.Signals) -> None:
        for node in self.nodes:
            node.signal(number)


class SentinelStore(Watched):
    """A primary with two replicas, which three Sentinels watch.

    A primary without a replica in step refuses: so a planned failover loses nothing.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, 3, min_replicas_to_write="1", min_replicas_max_lag="2")


class Broker(Protocol):
    """The server of the messages. All its data is in the folder ``broker``."""

    port: int

    @property
    def url(self) -> str:
        """What ``broker_url`` says."""

    def start(self) -> None:
        """Start it and wait until it answers."""

    def stop(self) -> None:
        """Stop it in order."""

    def kill(self) -> None:
        """Kill it with SIGKILL."""

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""


def redis_broker(folder: Path) -> Broker:
    """A Valkey as broker."""
    return Valkey(folder, "broker", options=BROKER_OPTIONS)


def rabbitmq_broker(folder: Path) -> Broker:
    """One node of RabbitMQ as broker."""
    return RabbitMq(folder / "broker")


def rabbitmq_cluster(folder: Path) -> Broker:
    """Three nodes of RabbitMQ as broker."""
    return RabbitMqCluster(folder / "broker")


@dataclass(frozen=True, slots=True)
class Topology:
    """One topology.

    Attributes:
        stores: makes the servers that store the reactions, with data in a folder.
        broker: makes the broker, with data in a folder.
        direct: what workers do not reach through a link of their own, which can be cut. Clients
            of a cluster, and of Sentinels, connect to the addresses that these announce. libpq
            tries no further host when one accepts a connection and closes it, as a link does.
        databases: makes the servers that keep what is durable.
        settings: further settings of every process.
    """

    stores: Callable[[Path], Any]
    direct: tuple[str, ...] = ()
    broker: Callable[[Path], Broker] = redis_broker
    databases: Callable[[Path], Databases] = OnePostgres
    settings: Mapping[str, Any] = field(default_factory=dict)


TOPOLOGIES = {
    "single": Topology(Store),
    "cluster": Topology(ClusterStore, ("store",), settings={"redis_cluster": True}),
    "sentinel": Topology(SentinelStore, ("store",)),
    "rabbitmq": Topology(Store, broker=rabbitmq_broker),
    "rabbitmq-cluster": Topology(Store, ("broker",), rabbitmq_cluster),
    "postgres": Topology(Store, ("postgres",), databases=PostgresPair),
}
"""Name -> topology, as ``--topology`` has it."""
