"""claim.lua: who may drain, and what a claim takes."""

from __future__ import annotations

from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import loading
from tests.lua.support import (
    OTHER,
    POST,
    SHARD,
    acknowledge,
    claim,
    react,
    rows,
)


def test_a_claim_takes_the_oldest_first_and_says_how_many_are_left(redis: Redis) -> None:
    for number in range(5):
        react(redis, 1, 1, post=POST + 100 * number)
    reply = claim(redis, "a", posts=2)
    assert list(rows(reply)) == [POST, POST + 100]
    assert reply[2] == 3
    assert redis.exists(keys.post_pending(POST + 200)) == 1


def test_a_claim_stops_at_its_rows_but_takes_at_least_one_post(redis: Redis) -> None:
    for user in range(1, 11):
        react(redis, user, 1)
    react(redis, 1, 1, post=OTHER)
    reply = claim(redis, "a", rows=3)
    assert {post: len(found) for post, found in rows(reply).items()} == {POST: 10}
    assert reply[2] == 1


def test_a_large_post_comes_without_its_rows(redis: Redis) -> None:
    for user in range(1, 11):
        react(redis, user, 1)
    ((post, rows_of_it, _, _, entries),) = claim(redis, "a", inline=5)[3:]
    assert (post, rows_of_it, entries) == (b"1042", 10, [])
    assert redis.hlen(keys.post_claimed(POST)) == 10


def test_one_drain_at_a_time_and_the_lease_notes_a_second(redis: Redis) -> None:
    react(redis, 1, 1)
    first = claim(redis, "a")
    assert claim(redis, "b") == [0]
    assert acknowledge(redis, "a", first, {POST: {1: 1}}) == [1, 0, 1]


def test_after_a_lease_expires_the_next_claim_takes_the_same_rows(redis: Redis) -> None:
    react(redis, 1, 1)
    first = claim(redis, "a", lease_us=1)
    react(redis, 2, 2)  # pending again, behind the claim
    second = claim(redis, "b")
    assert rows(second) == rows(first) == {POST: {1: 1}}
    assert acknowledge(redis, "a", first, {POST: {1: 1}}) == [0]  # the first drain woke up late
    assert acknowledge(redis, "b", second, {POST: {1: 1}})[:2] == [1, 1]
    assert rows(claim(redis, "c")) == {POST: {2: 2}}


def test_changes_pending_behind_a_leftover_claim_are_more_to_do(redis: Redis) -> None:
    """The drain that died may have answered their wake-up."""
    react(redis, 1, 1)
    claim(redis, "a", lease_us=1)
    react(redis, 2, 2)
    assert claim(redis, "b")[2] == 1


def test_a_lease_from_before_a_clock_step_does_not_block(redis: Redis) -> None:
    react(redis, 1, 1)
    redis.set(keys.outbox_lease(SHARD), "a|4000000000000000|0")
    assert rows(claim(redis, "b")) == {POST: {1: 1}}


def test_a_token_takes_over_a_lease_only_once(redis: Redis) -> None:
    """A retry is delivered twice: the second brings a token that the first has used."""
    react(redis, 1, 1)
    claim(redis, "a")
    assert claim(redis, "b", previous="a")[0] == 1
    assert claim(redis, "c", previous="a") == [0]


def test_an_empty_claim_gives_the_lease_back_and_clears_the_wake_up(redis: Redis) -> None:
    react(redis, 1, 1)
    acknowledge(redis, "a", claim(redis, "a"), {POST: {1: 1}})
    react(redis, 1, 1, post=OTHER)
    redis.delete(keys.outbox_dirty(SHARD), keys.post_pending(OTHER))
    assert claim(redis, "b")[2:] == [0]
    assert not redis.exists(keys.outbox_lease(SHARD), keys.outbox_wake(SHARD))


def test_a_dirty_post_without_changes_is_removed(redis: Redis) -> None:
    redis.zadd(keys.outbox_dirty(SHARD), {str(POST): 1})
    assert claim(redis, "a")[3:] == []
    assert not redis.exists(keys.outbox_dirty(SHARD))


def test_a_claim_refuses_the_load_under_way(redis: Redis) -> None:
    assert loading.fence(keys, POST, "load", 1000).run(redis) == 1
    react(redis, 1, 1)
    claim(redis, "a")
    assert not redis.exists(keys.post_loading(POST))
    assert loading.fence(keys, POST, "load", 1000).run(redis) == 0
