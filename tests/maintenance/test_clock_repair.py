"""The clock of Redis was ahead and is right again: times and lists become right again, too."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from chaos.nodes import FAKETIME, Store
from reactions.core.settings import Settings
from reactions.drain.batch import Drained
from reactions.maintenance import clock_repair
from reactions.maintenance.clock_repair import ClockRepairError
from reactions.maintenance.dead_letters import DeadLetterReplay
from reactions.postgres.version_moves import VersionMoves
from reactions.redis.keys import default_keys as keys
from tests.maintenance.clock_story import HOUR_US, MOVES, POSTS, USERS, Story, mortal, repair
from tests.maintenance.erasing import DiedError, finish
from tests.support.engine import Engine, make_engine
from tests.support.servers import missing
from tests.support.types import write_default_types


@pytest.fixture
def jumped(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    """Reactions at the right time, an hour ahead, and ten hours ahead; some still pending."""
    monkeypatch.setattr(clock_repair, "PAGE", 2)
    made = make_engine(engine.settings)
    story = Story(made)
    for user, post in itertools.product(USERS, POSTS):
        story.react(user, post, "like", 0)
    made.drain()
    story.react(1, 43, "love", HOUR_US)
    story.react(1, 1042, "love", HOUR_US)
    made.drain()
    for user, post, name in ((2, 1142, "wow"), (3, 77, "wow"), (2, 1042, "sad"), (1, 1142, "wow")):
        story.react(user, post, name, 10 * HOUR_US)
    made.drain()
    made.reactions.unreact(3, 1142)  # leaves a tombstone in the future
    made.drain()
    story.react(3, 1142, "angry", 0)
    story.react(3, 1042, "angry", 0)
    claims, _ = made.outbox.claim({42: ""})  # a drain died here
    assert claims
    made.client.delete(keys.outbox_lease(42))
    story.react(2, 1142, "laugh", 0)
    yield story
    made.close()


def test_times_and_lists_are_right_again(jumped: Story) -> None:
    engine = jumped.engine
    assert set(repair(jumped).ahead_us()) == {42, 43, 77}
    rows: list[int] = []
    done = repair(jumped).repair(rows.append)
    assert (done.shards, done.rows, done.pending) == (3, 7, 3)
    assert rows[-1] == done.rows
    assert repair(jumped).ahead_us() == {}
    touched = "SELECT count(*) FROM posts WHERE touched > :now"
    with engine.database.engine.connect() as connection:
        assert not connection.scalar(text(touched), {"now": int(engine.clock.now_us())})
    engine.drain()
    jumped.check()
    jumped.go_on()
    assert repair(jumped).repair().rows == 0


def test_after_a_real_step_of_the_clock(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server itself is an hour ahead, then two hours, and then right."""
    if not FAKETIME:
        missing("libfaketime is not installed, the clock of Redis is not stepped: apt-get install")
    monkeypatch.setattr(clock_repair, "PAGE", 2)
    store = Store(tmp_path)
    store.start()
    engine = make_engine(settings.model_copy(update={"redis_url": SecretStr(store.url)}))
    write_default_types(engine.client)
    try:
        story = Story(engine)
        for hours, name in ((0, "like"), (1, "love"), (2, "wow"), (0, "sad")):
            store.set_clock(3600 * hours)
            for user, post in itertools.product(USERS[hours:], POSTS[hours:]):
                story.react(user, post, name, 0)
            engine.drain()
        with pytest.raises(AssertionError):
            story.check()
        assert repair(story).repair().rows == len(USERS) * len(POSTS)
        story.check()
        story.go_on()
    finally:
        engine.close()
        store.stop()


@pytest.mark.parametrize("after", [False, True])
def test_a_repair_may_be_killed_at_any_step(
    jumped: Story, monkeypatch: pytest.MonkeyPatch, after: bool
) -> None:
    """Each run dies one step later than the one before. Users react in between."""
    played = itertools.cycle(itertools.product(USERS, POSTS))
    names = itertools.cycle(("love", "sad", "wow", "laugh", "angry"))
    lives = 0
    while True:
        with monkeypatch.context() as patch:
            duty = mortal(jumped, patch, lives, after=after)
            try:
                duty.repair()
            except DiedError:
                lives += 1
            else:
                break
        jumped.react(*next(played), next(names), 10 * HOUR_US)  # ahead still, or again
        jumped.engine.drain()
        jumped.react(*next(played), next(names), 10 * HOUR_US)
    assert lives >= 2 * (len(MOVES) + 2)
    jumped.engine.drain()
    jumped.check()
    jumped.go_on()


def test_one_shard_that_is_ahead_leaves_the_others_alone(engine: Engine) -> None:
    story = Story(engine)
    for post in POSTS:
        story.react(1, post, "like", HOUR_US if post == 77 else 0)
    engine.drain()
    before = [r for r in engine.reactions.history(1).items if r.post_id != 77]
    assert repair(story).repair().shards == 1
    assert [r for r in engine.reactions.history(1).items if r.post_id != 77] == before


def test_rows_that_a_late_drain_wrote_are_found_though_the_clock_is_right(engine: Engine) -> None:
    """A worker was stopped too late: the repair was over."""
    story = Story(engine)
    story.react(1, 77, "like", HOUR_US)
    claims, _ = engine.outbox.claim({77: ""})
    engine.client.delete(keys.outbox_lease(77))
    repair(story).repair()
    engine.drain()
    engine.persister.record(claims, Drained())
    story.react(1, 77, "wow", 0)
    assert set(repair(story).ahead_us()) == {77}
    assert repair(story).repair().rows == 1
    engine.drain()
    story.check()
    story.go_on()


def test_dead_letters_move_with_the_rest(engine: Engine) -> None:
    """A letter that a newer row replaced stays older than it; the other one wins its replay."""
    story, client = Story(engine), engine.client
    story.react(1, 1042, "like", HOUR_US)
    engine.drain()
    future = int(client.get(keys.outbox_clock(42)) or 0)
    for post, user, version in ((1042, 1, future - 5), (1042, 2, future - 4), (7, 1, 5)):
        engine.dead_letters.add(str(post), str(user), f"2:{version}", "refused")
    engine.dead_letters.add("x", "1", "2:y", "foreign")
    repair(story).repair()
    letters = engine.dead_letters.list(10)
    assert letters[2].value == "2:5"
    assert letters[3].value == "2:y"
    story.react(3, 1042, "like", 0)
    DeadLetterReplay(client, engine.database, engine.settings).replay(letters[:3])
    engine.drain()
    assert engine.queries.reactions([1042]) == {1042: {1: 1, 2: 2, 3: 1}}
    story.react(2, 1042, "wow", 0)
    engine.drain()
    assert engine.queries.reactions([1042]) == {1042: {1: 1, 2: 4, 3: 1}}


@pytest.mark.parametrize("begun", [False, True])
def test_a_user_who_was_forgotten_meanwhile_comes_back(engine: Engine, begun: bool) -> None:
    story = Story(engine)
    for post in POSTS:
        story.react(1, post, "like", HOUR_US)
    engine.drain()
    engine.reactions.forget_user(1)
    if begun:
        engine.eraser.erase()
    else:
        finish(engine)
    repair(story).repair()
    finish(engine)
    assert engine.reactions.history(1).items == ()
    engine.reactions.react_many((1, post, "wow") for post in POSTS)
    engine.drain()
    assert {r.post_id for r in engine.reactions.history(1).items} == set(POSTS)
    assert engine.verify().holds


def test_the_clock_must_be_right_first(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    story = Story(engine)
    story.react(1, 77, "like", HOUR_US)
    monkeypatch.setattr(clock_repair, "MAX_OFF_S", -1.0)
    with pytest.raises(ClockRepairError, match="NTP"):
        repair(story).repair()
    assert set(repair(story).ahead_us()) == {77}


def test_workers_must_be_stopped_first(engine: Engine) -> None:
    story = Story(engine)
    story.react(1, 77, "like", HOUR_US)
    engine.outbox.claim({77: ""})
    with pytest.raises(ClockRepairError, match="a worker is draining"):
        repair(story).repair()
    engine.client.delete(keys.outbox_lease(77))
    duty = repair(story)
    moves = VersionMoves(engine.database, [77])
    assert moves.workers() == 0
    with engine.database.engine.connect() as connection:
        connection.execute(text("SET application_name = 'reactions-worker'"))
        with pytest.raises(ClockRepairError, match="1 connections of workers"):
            duty.repair()
        assert duty.repair(force=True).shards == 1
        connection.execute(text("RESET application_name"))
