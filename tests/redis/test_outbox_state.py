"""``OutboxState``: what sweeps, duties and operators see."""

from __future__ import annotations

import math

import pytest

from reactions.core.settings import Settings
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox import Outbox
from reactions.redis.outbox_state import OutboxState, ShardState
from reactions.redis.writes import RedisWrites

POST, SHARD = 1042, 42


@pytest.fixture
def state(client: Client, redis_settings: Settings) -> OutboxState:
    return OutboxState(client, redis_settings)


def test_an_empty_outbox(state: OutboxState) -> None:
    assert state.states() == [ShardState(shard, 0, 0.0, leased=False) for shard in range(100)]
    assert (state.overdue(0.0), state.dirty_posts(), state.pending()) == ([], [], 0)
    assert state.oldest(POST) is None
    assert state.quiet_before(2**53)
    assert state.lags() == {}


def test_a_leased_shard_is_not_overdue(
    state: OutboxState, client: Client, redis_settings: Settings
) -> None:
    writes, clock = RedisWrites(client, redis_settings), Clock(client, redis_settings)
    before = int(clock.now_us())
    writes.record_many((user, POST, 1) for user in range(1, 4))
    assert (state.overdue(0.0), state.overdue(60.0)) == ([SHARD], [])
    assert (state.dirty_posts(), state.pending()) == ([POST], 3)
    assert before <= (state.oldest(POST) or 0) <= clock.now_us()
    assert state.quiet_before(before - 1)
    assert not state.quiet_before(int(clock.now_us()))
    Outbox(client, redis_settings).claim({SHARD: ""})
    assert state.states()[SHARD].leased
    assert (state.overdue(0.0), state.pending()) == ([], 3)
    client.set(keys.outbox_lease(SHARD), f"token|{2**52}|0")  # longer than any lease
    assert state.overdue(0.0) == [SHARD]


def test_a_shard_that_cannot_be_read_is_overdue(state: OutboxState, client: Client) -> None:
    client.set(keys.outbox_dirty(7), "foreign")
    assert state.states()[7] == ShardState(7, 1, math.inf, leased=False)
    assert state.overdue(1e9) == [7]


def test_a_listed_post_keeps_its_older_time(state: OutboxState) -> None:
    state.list_post(POST)
    oldest = state.oldest(POST)
    assert oldest is not None
    state.list_post(POST)
    assert state.oldest(POST) == oldest
    assert state.dirty_posts() == [POST]


def test_lags_add_up_over_the_shards(state: OutboxState, client: Client) -> None:
    client.hset(keys.outbox_lags(1), mapping={"10": 2, "100": 1})
    client.hset(keys.outbox_lags(2), mapping={"10": 3})
    assert state.lags() == {10: 5, 100: 1}


def test_a_shard_with_times_in_the_future_is_overdue(
    state: OutboxState, client: Client, redis_settings: Settings
) -> None:
    """The server's clock was set back by an hour."""
    RedisWrites(client, redis_settings).record(1, POST, 1)
    Outbox(client, redis_settings).claim({SHARD: ""})
    ahead = int(Clock(client, redis_settings).now_us()) + 3_600_000_000
    client.set(keys.outbox_lease(SHARD), f"gone|{ahead}|0")
    client.zadd(keys.outbox_dirty(SHARD), {str(POST): ahead})
    assert state.overdue(2.0) == [SHARD]
