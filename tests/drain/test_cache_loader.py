"""``CacheLoader``: loads of posts under a fence."""

from __future__ import annotations

from tests.support.engine import Engine
from tests.support.reading import react


def test_a_load_with_too_many_rows_for_one_batch_runs_in_parts(small: Engine) -> None:
    """A batch has at most ``viral_threshold`` rows: here ten."""
    for post in (1, 2):
        react(small, post, range(1, 9))
    small.drain()
    assert small.loader.load([1, 2]) == 2
    assert all(found.complete for found in small.post_snapshots.snapshots([1, 2]))
