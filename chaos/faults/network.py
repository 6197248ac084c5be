"""Faults of the network between workers and stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.nemesis import Missed, Nemesis
from chaos.proxy import Cut

IDLE_S = 1.0
"""How long a connection was idle when a firewall forgets it. Real ones take a minute or more."""


@contextmanager
def cut(store: str, nemesis: Nemesis) -> Iterator[None]:
    """Cut one worker or all workers off from a store."""
    links = nemesis.system.links[store]
    chosen = nemesis.chance.sample(links, nemesis.chance.randint(1, len(links)))
    how = nemesis.chance.choice((Cut.SILENT, Cut.ANSWERS, Cut.REFUSED))
    for link in chosen:
        link.cut(how)
    nemesis.hold(0.5, 4)
    yield
    for link in chosen:
        link.cut(Cut.NONE)


@contextmanager
def forgotten(nemesis: Nemesis) -> Iterator[None]:
    """Drop connections of workers in silence, as a firewall does: idle ones, or all that are open.

    New connections work, and nobody says that the old ones are dead; they stay so.
    """
    idle_s = nemesis.chance.choice((0.0, IDLE_S))
    dropped = [link.forget(idle_s) for links in nemesis.system.links.values() for link in links]
    if not sum(dropped):
        raise Missed
    nemesis.hold(0.5, 3)
    yield
