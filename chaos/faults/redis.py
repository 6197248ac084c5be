"""Faults of the Redis that stores the reactions."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.nemesis import MAX_PAUSE_S, Nemesis


@contextmanager
def store_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill the server with SIGKILL; it restarts from its append-only file."""
    nemesis.system.kill_store()
    nemesis.hold(0, 1)
    yield
    nemesis.system.store.start()


@contextmanager
def scripts_flushed(nemesis: Nemesis) -> Iterator[None]:
    """Flush all scripts."""
    with nemesis.system.redis() as client:
        client.script_flush()
    yield


@contextmanager
def caches_deleted(nemesis: Nemesis) -> Iterator[None]:
    """Delete a random share of all keys with a TTL, one at a time."""
    with nemesis.system.redis() as client:
        share = nemesis.chance.choice((0.05, 0.5, 1.0))
        for key in client.scan_iter(count=1_000):
            if nemesis.chance.random() < share and client.pttl(key) >= 0:
                client.delete(key)
    yield


@contextmanager
def memory_full(nemesis: Nemesis) -> Iterator[None]:
    """Lower ``maxmemory``: the server evicts keys with a TTL, and then refuses writes."""
    with nemesis.system.redis() as client:
        used = int(client.info("memory")["used_memory"])
        client.config_set("maxmemory", int(used * nemesis.chance.uniform(0.5, 0.99)))
        nemesis.hold(0.5, 2)
    yield
    with nemesis.system.redis() as client:
        client.config_set("maxmemory", 0)


@contextmanager
def store_paused(nemesis: Nemesis) -> Iterator[None]:
    """Stop the server for up to MAX_PAUSE_S, and let it continue."""
    nemesis.system.store.signal(signal.SIGSTOP)
    nemesis.hold(0.5, MAX_PAUSE_S)
    nemesis.system.store.signal(signal.SIGCONT)
    yield


@contextmanager
def store_demoted(nemesis: Nemesis) -> Iterator[None]:
    """Make the server a replica of nobody, and then a primary again; no connection is cut."""
    with nemesis.system.redis() as client:
        client.replicaof("127.0.0.1", "1")
    nemesis.hold(0.5, 3)
    yield
    with nemesis.system.redis() as client:
        client.replicaof("NO", "ONE")


@contextmanager
def clock_stepped(nemesis: Nemesis) -> Iterator[None]:
    """Step the clock ahead or back, and later to the right time."""
    nemesis.system.store.set_clock(nemesis.chance.choice((-60, -5, -1, 1, 5, 60)))
    nemesis.hold(0.5, 3)
    yield
    nemesis.system.store.set_clock(0)
