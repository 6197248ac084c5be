"""``Refill``: which settled posts a drain loads into the cache."""

from __future__ import annotations

from tests.drain.support import POST, SHARD, react, step
from tests.support.engine import Engine


def test_the_second_use_of_a_post_loads_its_hash(engine: Engine) -> None:
    react(engine, 20)
    assert engine.persister.drain([SHARD]).loaded == 0
    engine.reactions.react(21, POST, "like")
    assert engine.persister.drain([SHARD]).loaded == 1
    assert engine.reactions.react(5, POST, "like").status == "unchanged"
    assert engine.reactions.react(5, POST, "love").previous == "like"
    assert engine.reactions.react(99, POST, "love").status == "created"
    assert engine.verify().holds


def test_a_write_after_a_read_loads_the_hash(engine: Engine) -> None:
    engine.reactions.counts(POST)
    react(engine, 3)
    assert engine.persister.drain([SHARD]).loaded == 1


def test_a_hash_that_does_not_fit_into_a_batch_is_loaded_later(engine: Engine) -> None:
    engine = step(engine, 2, viral_threshold=10)
    for post in (POST, POST + 100):
        react(engine, 6, post)
    engine.drain()
    for post in (POST, POST + 100):
        engine.reactions.react(7, post, "like")
    assert engine.persister.drain([SHARD]).loaded == 1
    assert engine.verify().holds
