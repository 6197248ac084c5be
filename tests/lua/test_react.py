"""react.lua: its outcomes, the counts, the outbox, versions and wake-ups."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.core.constants import shard_of
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import writes
from reactions.redis.scripts.writes import ReactReply

POST, OTHER, USER = 1042, 1142, 7
PATIENCE = 10_000_000

UNCHANGED, CREATED, REPLACED, REMOVED, ACCEPTED = range(5)


def react(redis: Redis, user: int, code: int, post: int = POST) -> ReactReply:
    return ReactReply(*writes.record(keys, user, post, code, PATIENCE).run(redis))


def complete(redis: Redis, rows: dict[int, int], post: int = POST) -> None:
    redis.hset(keys.post_reactions(post), mapping={str(k): v for k, v in {0: 1, **rows}.items()})


def ints(redis: Redis, key: str) -> dict[int, int]:
    return {int(k): int(v) for k, v in redis.hgetall(key).items()}


def pending(redis: Redis, post: int = POST) -> dict[int, int]:
    found: dict[bytes, bytes] = redis.hgetall(keys.post_pending(post))  # type: ignore[assignment]
    return {int(user): int(entry.split(b":")[0]) for user, entry in found.items()}


@pytest.mark.parametrize(
    ("before", "code", "status", "previous", "delta"),
    [
        (None, 1, CREATED, 0, {1: 1}),
        (2, 1, REPLACED, 2, {1: 1, 2: -1}),
        (2, 0, REMOVED, 2, {2: -1}),
        (2, 2, UNCHANGED, 2, {}),
        (None, 0, UNCHANGED, 0, {}),
    ],
)
def test_a_complete_hash_knows_the_earlier_reaction(
    redis: Redis, before: int | None, code: int, status: int, previous: int, delta: dict[int, int]
) -> None:
    complete(redis, {} if before is None else {USER: before})
    redis.hset(keys.post_reaction_counts(POST), mapping={"1": 10, "2": 10})
    reply = react(redis, USER, code)
    assert (reply.status, reply.previous) == (status, previous)
    assert ints(redis, keys.post_delta(POST)) == delta
    counts = ints(redis, keys.post_reaction_counts(POST))
    assert counts == {1: 10 + delta.get(1, 0), 2: 10 + delta.get(2, 0)}
    now = ints(redis, keys.post_reactions(POST))
    assert now == {0: 1} | ({USER: code} if code else {})
    assert pending(redis) == ({} if status == UNCHANGED else {USER: code})
    assert (reply.version == 0) == (status == UNCHANGED)


@pytest.mark.parametrize("where", [keys.post_pending, keys.post_claimed])
def test_the_outbox_knows_a_reaction_that_no_cache_has(redis: Redis, where: object) -> None:
    redis.hset(where(POST), str(USER), "3:5")  # type: ignore[operator]  # one of the key functions
    assert react(redis, USER, 3).status == UNCHANGED
    reply = react(redis, USER, 1)
    assert (reply.status, reply.previous) == (REPLACED, 3)
    assert ints(redis, keys.post_delta(POST)) == {3: -1, 1: 1}


def test_pending_is_newer_than_claimed(redis: Redis) -> None:
    redis.hset(keys.post_claimed(POST), str(USER), "3:5")
    redis.hset(keys.post_pending(POST), str(USER), "0:6")
    reply = react(redis, USER, 3)
    assert (reply.status, reply.previous) == (CREATED, 0)


def test_a_cold_post_accepts_without_knowing_the_previous_reaction(redis: Redis) -> None:
    assert react(redis, USER, 1)[:2] == (ACCEPTED, 0)
    assert ints(redis, keys.post_delta(POST)) == {1: 1}
    assert react(redis, USER + 1, 0)[:2] == (ACCEPTED, 0)
    assert ints(redis, keys.post_delta(POST)) == {
        1: 1
    }  # the removal of an unknown reaction changes no count


def test_a_reaction_on_a_cold_post_creates_no_cache(redis: Redis) -> None:
    react(redis, USER, 1)
    assert not redis.exists(keys.post_reactions(POST), keys.post_reaction_counts(POST))


def test_a_hash_without_its_mark_proves_nothing(redis: Redis) -> None:
    redis.hset(keys.post_reactions(POST), "8", "1")
    assert react(redis, USER, 1).status == ACCEPTED
    assert ints(redis, keys.post_reactions(POST)) == {8: 1}


def test_versions_rise_and_follow_the_clock_of_the_server(redis: Redis) -> None:
    versions = [react(redis, user, 1).version for user in range(1, 200)]
    assert versions == sorted(set(versions))
    seconds, micros = redis.time()
    assert 0 <= seconds * 1_000_000 + micros - versions[-1] < 5_000_000


def test_versions_rise_when_the_clock_steps_back(redis: Redis) -> None:
    ahead = 4_000_000_000_000_000  # the year 2096
    redis.set(keys.outbox_clock(shard_of(POST)), ahead)
    assert react(redis, 1, 1).version == ahead + 1
    assert react(redis, 2, 1).version == ahead + 2
    assert redis.hget(keys.post_pending(POST), "2") == b"1:%d" % (ahead + 2)


def test_the_largest_ids_are_not_rounded(redis: Redis) -> None:
    largest = 2**63 - 1
    react(redis, largest, 1, post=largest)
    assert pending(redis, largest) == {largest: 1}
    dirty = redis.zrange(keys.outbox_dirty(shard_of(largest)), 0, -1)
    assert dirty == [b"%d" % largest]


def test_one_wake_up_until_it_is_answered_or_too_old(redis: Redis) -> None:
    wake = keys.outbox_wake(shard_of(POST))
    assert react(redis, 1, 1).wake == 1
    assert react(redis, 2, 1).wake == 0
    assert react(redis, 1, 1, post=OTHER).wake == 0  # one for the shard, not for the post
    redis.delete(wake)
    assert react(redis, 3, 1).wake == 1
    asked = int(redis.get(wake) or 0)
    redis.set(wake, asked - PATIENCE - 1)
    assert react(redis, 4, 1).wake == 1
    redis.set(wake, asked + 3_600_000_000)  # from before the clock stepped back
    assert react(redis, 5, 1).wake == 1


def test_dirty_keeps_the_age_of_the_oldest_change(redis: Redis) -> None:
    dirty = keys.outbox_dirty(shard_of(POST))
    react(redis, 1, 1)
    first = redis.zscore(dirty, str(POST))
    react(redis, 2, 1)
    assert redis.zscore(dirty, str(POST)) == first


def test_the_outbox_has_no_ttl(redis: Redis) -> None:
    react(redis, USER, 1)
    found = {str(key, "ascii"): redis.ttl(key) for key in redis.keys()}  # type: ignore[arg-type]
    assert set(found) == {
        keys.post_pending(POST),
        keys.post_delta(POST),
        *(f"outbox:{{42}}:{what}" for what in ("dirty", "clock", "wake")),
    }
    assert set(found.values()) == {-1}


def test_a_refused_write_leaves_nothing(redis: Redis) -> None:
    """When memory is full and nothing can be evicted, the script fails before its first write."""
    react(redis, 1, 1)
    before = {key: redis.dump(key) for key in redis.keys()}
    redis.config_set("maxmemory-policy", "noeviction")
    redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(Exception, match="refuses to serve"):
            react(redis, 2, 1)
    finally:
        redis.config_set("maxmemory", "0")
        redis.config_set("maxmemory-policy", "volatile-lru")
    assert {key: redis.dump(key) for key in redis.keys()} == before
    assert react(redis, 2, 1).status == ACCEPTED
