"""Faults of the network between workers and stores."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from chaos.nemesis import Nemesis
from chaos.proxy import Cut


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
