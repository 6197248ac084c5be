"""Faults of RabbitMQ as the broker."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.support.rabbitmq import RabbitMqCluster
from chaos.faults.broker import send_drains
from chaos.nemesis import Nemesis


@contextmanager
def rabbitmq_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill every node with SIGKILL, and start it again with its queues."""
    nemesis.system.broker.kill()
    nemesis.hold(0.5, 3)
    yield
    nemesis.system.broker.start()


@contextmanager
def rabbitmq_node_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill one of three nodes with SIGKILL; two keep the queues."""
    broker = nemesis.system.broker
    if not isinstance(broker, RabbitMqCluster):
        raise TypeError("this fault needs the topology rabbitmq-cluster")
    nemesis.chance.choice(broker.nodes).kill()
    nemesis.hold(1, 6)
    yield
    broker.start()


@contextmanager
def rabbitmq_frozen(nemesis: Nemesis) -> Iterator[None]:
    """Stop every node for up to 6 seconds: longer than anybody waits for its answer."""
    nemesis.system.broker.signal(signal.SIGSTOP)
    nemesis.hold(1, 6)
    yield
    nemesis.system.broker.signal(signal.SIGCONT)


@contextmanager
def sent_twice(nemesis: Nemesis) -> Iterator[None]:
    """Send drains that nobody needs, twice."""
    for _ in range(2):
        send_drains(nemesis)
        time.sleep(0.2)
    yield
