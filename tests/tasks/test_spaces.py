"""One fleet of workers and one beat serve every space, also while another one fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from reactions.core.settings import Settings
from reactions.postgres.migrate import migrate
from tests.support.engine import Engine, make_engine
from tests.support.waiting import wait_until
from tests.tasks.lane import Lane, Tasks
from tests.tasks.steps import POST, react, rows

USER, SHARD = 7, POST % 100


@pytest.fixture(scope="module")
def spaced(tasks: Tasks) -> Settings:
    """Settings of three spaces; ``photo`` comes before ``comment``, and has no tables."""
    update = Settings(spaces={"photo": {}, "comment": {"reaction_types": "up,down"}})
    values = {"spaces": update.spaces, "database_url": tasks.settings.database_url}
    plain = Settings(**{**tasks.settings.model_dump(), **values})
    migrate(plain.of_space("comment"))
    return plain


@pytest.fixture
def comments(
    tasks: Tasks, lane: Lane, spaced: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Engine]:
    """Let the worker of the lane serve the spaces; gives the engine of one."""
    monkeypatch.setattr(tasks.app, "settings", spaced)
    # The modules of the lane are not in sys.modules.
    monkeypatch.setitem(tasks.sweep.in_each_space.__globals__, "settings", spaced)
    tasks.app._worker.cache_clear()
    engine = make_engine(spaced.of_space("comment"))
    with engine.database.engine.begin() as connection:
        connection.execute(text("TRUNCATE reactions, reaction_counts, posts, deleted_posts"))
    yield engine
    lane.settle()
    tasks.app._worker.cache_clear()
    engine.close()


def durable(engine: Engine) -> dict[int, int]:
    return engine.queries.reactions([POST])[POST]


def test_a_drain_is_of_one_space(lane: Lane, comments: Engine) -> None:
    react(lane, USER)
    comments.reactions.react(USER, POST, "down")
    assert lane.run([SHARD], kwargs={"space": "comment"}).state == "SUCCESS"
    assert durable(comments) == {USER: 2}
    assert rows(lane, POST) == {}
    assert lane.run([SHARD]).state == "SUCCESS"
    assert rows(lane, POST) == {USER: 1}


def test_a_duty_works_in_every_space(lane: Lane, comments: Engine) -> None:
    comments.reactions.react_many([(USER, POST, "up"), (8, POST, "down")])
    comments.drain()
    comments.reactions.delete_post(POST)
    assert lane.run(task="reactions.erase").state == "FAILURE"  # photos: they have no tables
    assert durable(comments) == {}
    comments.reactions.react(USER, POST + 1, "up")
    comments.reactions.warm([POST + 1])
    run = lane.run([POST + 1], task="reactions.load", kwargs={"space": "comment"})
    assert run.state == "SUCCESS"
    assert comments.cache.lookup(POST + 1).buckets == 1
    assert lane.engine.cache.lookup(POST + 1).buckets == 0


def test_a_space_that_fails_does_not_stop_the_others(lane: Lane, comments: Engine) -> None:
    """The sweep records its runs in PostgreSQL, where one space has no tables."""
    photos = make_engine(comments.settings.of_space("photo"))
    for engine in (lane.engine, photos, comments):
        engine.reactions.react(USER, POST, "up" if engine is comments else "like")
        age_in(engine)
    lane.run(task="reactions.sweep")
    wait_until(lambda: durable(comments) == {USER: 1}, what="the comment is durable")
    wait_until(lambda: rows(lane, POST) == {USER: 1}, what="the post is durable")
    failed = [run.state for run in lane.drains() if run.kwargs.get("space") == "photo"]
    assert "RETRY" in failed
    migrate(photos.settings)  # while the others are in use
    wait_until(lambda: durable(photos) == {USER: 1}, what="the photo is durable")
    photos.close()


def age_in(engine: Engine) -> None:
    """Make the change of the item old enough for the sweep."""
    name = engine.outbox._keys.outbox_dirty(SHARD)
    engine.client.zincrby(name, -100e6, str(POST))
