"""Faults of a primary of PostgreSQL with a standby."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.databases import PostgresPair
from chaos.nemesis import Nemesis


def _pair(nemesis: Nemesis) -> PostgresPair:
    found = nemesis.system.postgres
    if not isinstance(found, PostgresPair):
        raise TypeError("this fault needs the topology postgres")
    return found


@contextmanager
def primary_lost(nemesis: Nemesis) -> Iterator[None]:
    """Kill the primary with SIGKILL, and promote the standby. The old one becomes its standby."""
    pair = _pair(nemesis)
    pair.kill()
    nemesis.hold(0, 2)
    pair.promote()
    nemesis.hold(0.5, 2)
    yield
    pair.add_standby()


@contextmanager
def switched_over(nemesis: Nemesis) -> Iterator[None]:
    """Stop the primary, which first sends everything, and promote the standby."""
    pair = _pair(nemesis)
    pair.primary.stop()
    pair.promote()
    nemesis.hold(0.5, 2)
    yield
    pair.add_standby()


@contextmanager
def standby_killed(nemesis: Nemesis) -> Iterator[None]:
    """Kill the standby with SIGKILL: commits wait until it is back."""
    pair = _pair(nemesis)
    pair.standby.kill()
    nemesis.hold(0.5, 4)
    yield
    pair.start()
