"""Faults of the broker."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from redis import Redis

from chaos.nemesis import Nemesis
from reactions.core.celery_app import DRAIN, make_app
from reactions.core.constants import SHARDS


@contextmanager
def broker_stopped(nemesis: Nemesis) -> Iterator[None]:
    """Stop the broker for up to 3 seconds; it keeps its messages."""
    nemesis.system.broker.stop()
    nemesis.hold(0.5, 3)
    yield
    nemesis.system.broker.start()


@contextmanager
def broker_demoted(nemesis: Nemesis) -> Iterator[None]:
    """Make the broker a replica of nobody, and then a primary again; no connection is cut."""
    with Redis(port=nemesis.system.broker.port, socket_timeout=1) as broker:
        broker.replicaof("127.0.0.1", "1")
    nemesis.hold(0.5, 3)
    yield
    with Redis(port=nemesis.system.broker.port, socket_timeout=1) as broker:
        broker.replicaof("NO", "ONE")


@contextmanager
def queue_lost(nemesis: Nemesis) -> Iterator[None]:
    """Kill the broker, and start it again empty."""
    nemesis.system.lose_queue()
    nemesis.hold(0, 1)
    yield
    nemesis.system.broker.start()


@contextmanager
def delivered_again(nemesis: Nemesis) -> Iterator[None]:
    """Deliver messages again that workers have not acknowledged: now, and in later calls."""
    with Redis(port=nemesis.system.broker.port, socket_timeout=1) as broker:
        found: dict[str, tuple[str, str]] = {}
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            for tag, raw in broker.hgetall("unacked").items():
                message, _, queue = json.loads(raw)
                found[str(tag)] = (queue, json.dumps(message))
            time.sleep(0.01)
        for queue, message in [*found.values(), *nemesis.stash[-20:]]:
            broker.lpush(queue, message)
        nemesis.stash += found.values()
    send_drains(nemesis)
    yield


def send_drains(nemesis: Nemesis) -> None:
    """Send three drains with tokens that no claim has."""
    with make_app(nemesis.system.settings) as app:
        for _ in range(3):
            shards = nemesis.chance.sample(range(SHARDS), 30)
            tokens = {str(shard): f"{nemesis.chance.getrandbits(64):x}" for shard in shards}
            app.send_task(DRAIN, kwargs={"shards": shards, "tokens": tokens})
