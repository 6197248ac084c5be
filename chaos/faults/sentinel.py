"""Faults of servers that Sentinels watch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from chaos.nemesis import Nemesis
from chaos.topology import SentinelStore
from chaos.waiting import wait_for

FAILOVER_S = 60.0
"""The longest time until a replica has taken over, and the others follow it."""


def _store(nemesis: Nemesis) -> SentinelStore:
    found = nemesis.system.store
    if not isinstance(found, SentinelStore):
        raise TypeError("this fault needs the topology sentinel")
    return found


@contextmanager
def watched_primary_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill the primary with SIGKILL; a replica takes over, or it is back before that."""
    store = _store(nemesis)
    nemesis.system.losses.append(time.monotonic())
    store.primary().kill()
    nemesis.hold(0.2, 5)
    yield
    store.start()


@contextmanager
def watched_failover(nemesis: Nemesis) -> Iterator[None]:
    """Let a replica take over, as before a restart of the primary."""
    store = _store(nemesis)
    store.fail_over()
    yield
    wait_for(store.serves, FAILOVER_S, "all servers follow the new primary")


@contextmanager
def sentinel_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill one of the Sentinels; two of three still agree."""
    store = _store(nemesis)
    victim = nemesis.chance.choice(store.sentinels[:-1])  # the nemesis asks the last one
    victim.kill()
    nemesis.hold(0.5, 3)
    yield
    store.start()
