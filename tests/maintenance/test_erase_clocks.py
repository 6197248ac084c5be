"""A user is forgotten after the clock of Redis stepped: one shard's mishap stays in that shard."""

from __future__ import annotations

import pytest

from reactions.core.constants import shard_of
from reactions.core.shard_times import ShardTimes
from reactions.drain.batch import Drained
from reactions.maintenance.erase import Step
from reactions.redis.keys import default_keys as keys
from tests.maintenance.erasing import (
    FELLOW,
    POST,
    SHARD,
    USER,
    check_user_is_gone,
    finish,
    lapse,
    react,
    rows_of,
)
from tests.support.engine import Engine

HOUR_US = 3_600_000_000
OTHERS = POST + 1, 77
"""Posts of shards that are not ahead."""


@pytest.fixture
def ahead(small_batches: Engine) -> Engine:
    """The clock of Redis was an hour ahead while one shard took a reaction."""
    now = int(small_batches.clock.now_us())
    small_batches.client.set(keys.outbox_clock(SHARD), now + HOUR_US)
    for post in (POST, *OTHERS):
        react(small_batches, post, [USER, FELLOW])
    return small_batches


def forget(engine: Engine) -> None:
    engine.drain()
    engine.reactions.forget_user(USER)
    finish(engine)


def test_a_shard_that_is_ahead_sets_no_other_ahead(ahead: Engine) -> None:
    forget(ahead)
    before = ahead.clock.now_us()
    version = ahead.reactions.react(FELLOW, 88, "wow").version or 0
    assert before <= version <= ahead.clock.now_us()
    assert set(ahead.clock.readings().ahead_us()) == {SHARD}
    ahead.drain()
    assert [item.post_id for item in ahead.reactions.history(FELLOW).items][:2] == [POST, 88]


def test_reactions_of_every_shard_are_forgotten(ahead: Engine) -> None:
    forget(ahead)
    check_user_is_gone(ahead, {post: {FELLOW: 1} for post in (POST, *OTHERS)})


def test_a_forgotten_user_can_come_back(ahead: Engine) -> None:
    forget(ahead)
    ahead.reactions.react_many((USER, post, "wow") for post in (POST, *OTHERS))
    ahead.drain()
    expected = [(post, USER, 4) for post in sorted((POST, *OTHERS))]
    assert rows_of(ahead, "user_id = :user", user=USER) == expected
    assert ahead.reactions.counts(POST + 1)["wow"] == 1
    assert ahead.verify().holds


def test_what_a_user_does_once_it_has_begun_stays(ahead: Engine) -> None:
    """On a shard that is not ahead, versions are below the cutoff of the one that is."""
    ahead.drain()
    ahead.reactions.forget_user(USER)
    ahead.eraser.erase(0.0)
    ahead.reactions.react(USER, 88, "wow")
    finish(ahead)
    assert rows_of(ahead, "user_id = :user", user=USER) == [(88, USER, 4)]
    assert ahead.verify().holds


def test_a_stale_drain_brings_nothing_back(ahead: Engine) -> None:
    """It claimed before the erasure, on every shard, and records long after it."""
    claims, _ = ahead.outbox.claim(dict.fromkeys((SHARD, SHARD + 1, 77), ""))
    lapse(ahead)
    forget(ahead)
    late = Drained()
    ahead.persister.record(claims, late)
    assert (late.rows, late.changed) == (6, 0)
    check_user_is_gone(ahead, {post: {FELLOW: 1} for post in (POST, *OTHERS)})


def test_a_change_from_the_future_holds_an_erasure_up(small_batches: Engine) -> None:
    """It came before the clock was set back. A drain makes it durable at once."""
    react(small_batches, POST, [USER])
    future = int(small_batches.clock.now_us()) + HOUR_US
    small_batches.client.zadd(keys.outbox_dirty(SHARD), {str(POST): future})
    small_batches.reactions.forget_user(USER)
    for _ in range(5):
        small_batches.eraser.erase()
    assert USER in small_batches.erasure_requests.unfinished()[1]
    finish(small_batches)
    check_user_is_gone(small_batches, {POST: {}})


def test_an_erasure_does_not_wait_until_the_clock_catches_up(small_batches: Engine) -> None:
    """The clock was set back by an hour during the erasure, and every shard stays busy."""
    react(small_batches, POST, [USER, FELLOW])
    small_batches.drain()
    small_batches.reactions.forget_user(USER)
    finish(small_batches)
    now = int(small_batches.clock.now_us())
    step = Step(ShardTimes(now), ShardTimes(now + HOUR_US), ShardTimes(now))
    small_batches.client.hset(keys.outbox_forgetting(shard_of(USER)), str(USER), str(step))
    for round_ in range(3):
        react(small_batches, 200 + round_, [FELLOW])
        small_batches.eraser.erase()
        if round_ < 2:
            small_batches.drain()
    assert small_batches.outbox_state.pending() == 1
    assert small_batches.erasure_requests.unfinished() == ([], {})


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_an_erasure_that_an_older_process_began_goes_on(small_batches: Engine, steps: int) -> None:
    """It wrote one time for all shards."""
    react(small_batches, POST, [USER, FELLOW])
    small_batches.drain()
    small_batches.reactions.forget_user(USER)
    for _ in range(steps):
        small_batches.eraser.erase()
        small_batches.drain()
    for user, step in small_batches.erasure_requests.unfinished()[1].items():
        assert all(part.isdigit() for part in step.split("|")), (user, step)
    finish(small_batches)
    check_user_is_gone(small_batches, {POST: {FELLOW: 1}})
