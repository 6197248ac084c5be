"""``CacheLoader``: loads of posts under a fence."""

from __future__ import annotations

from reactions.core.constants import MAX_ID
from reactions.ops.inspection import Inspector
from tests.support.engine import Engine, make_engine
from tests.support.reading import POST, react


def test_a_load_with_too_many_rows_for_one_batch_runs_in_parts(small: Engine) -> None:
    """A batch has at most ``viral_threshold`` rows: here ten."""
    for post in (1, 2):
        react(small, post, range(1, 9))
    small.drain()
    assert small.loader.load([1, 2]) == 2
    assert all(found.complete for found in small.post_snapshots.snapshots([1, 2]))


def test_the_cache_of_a_post_is_as_small_as_promised(engine: Engine) -> None:
    """17 bytes a reaction, with the longest ids; and 39 kB for a viral post of any size."""
    regular, viral = range(MAX_ID - 3_000, MAX_ID), range(MAX_ID - 5_000, MAX_ID)
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": 4_000}))
    inspector = Inspector(made.client, made.database, made.settings)
    for users in (regular, viral):
        react(made, POST, users)
        made.drain()
        made.loader.load([POST])
        found = inspector.inspect(POST)
        assert found.cached == f"{'hash of 3000' if users is regular else 'sample of 1000'} users"
        assert found.bytes <= (17 * len(users) if users is regular else 39_300)
    made.close()
