"""Runs servers with Sentinels for a test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.support.sentinel import SERVICE, Watched

__all__ = ["SERVICE", "Watched", "running_sentinels"]


@contextmanager
def running_sentinels(folder: Path) -> Iterator[Watched]:
    """Run a primary, a replica and three Sentinels, which know each other."""
    watched = Watched(folder)
    try:
        watched.start()
        yield watched
    finally:
        watched.kill()
