"""react.lua on a viral post: its sample, total and HyperLogLog. Also on a deleted one."""

from __future__ import annotations

import random

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import lookups, writes
from tests.lua.support import (
    ACCEPTED,
    CREATED,
    OTHER,
    POST,
    REFUSED,
    REMOVED,
    REPLACED,
    UNCHANGED,
    VIRAL,
    VIRAL_KEYS,
    complete,
    entries,
    lives,
    names,
    number,
    react,
    recent,
    sample,
    settle,
    shorten,
    user_in,
)
from tests.support.loads import SingleLoads


def test_the_sample_is_in_the_order_of_the_last_reactions(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    assert recent(redis) == [4, 3, 2, 1]
    assert react(redis, 2, 5)[:2] == (REPLACED, 1)
    assert recent(redis) == [2, 4, 3, 1]
    assert entries(redis) == {2: 5, 4: 1, 3: 1, 1: 1}
    assert react(redis, 4, 1).status == UNCHANGED
    assert recent(redis) == [2, 4, 3, 1]


def test_a_new_user_pushes_the_oldest_out(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    assert react(redis, 9, 3)[:2] == (ACCEPTED, 0)  # Redis does not know users outside the sample
    assert recent(redis) == [9, 4, 3, 2]
    assert entries(redis) == {9: 3, 4: 1, 3: 1, 2: 1}


def test_a_user_who_removes_the_reaction_leaves_the_sample(
    redis: Redis, small: SingleLoads
) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    assert react(redis, 3, 0)[:2] == (REMOVED, 1)
    assert recent(redis) == [4, 2, 1]
    assert entries(redis) == {4: 1, 2: 1, 1: 1}
    assert react(redis, 3, 0).status == UNCHANGED  # the outbox knows
    assert react(redis, 8, 0)[:2] == (ACCEPTED, 0)
    assert recent(redis) == [4, 2, 1]
    assert react(redis, 3, 2)[:2] == (CREATED, 0)
    assert recent(redis) == [3, 4, 2, 1]


def test_an_empty_sample_counts_as_lost(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(1, 1)])
    react(redis, 1, 0)
    assert recent(redis) == []
    react(redis, 2, 1)
    assert not redis.exists(keys.post_reactions(POST), keys.post_recent(POST))


def test_a_sample_that_lost_its_list_is_dropped(redis: Redis, small: SingleLoads) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)], ever=[1])
    redis.delete(keys.post_recent(POST))
    react(redis, 2, 5)
    assert names(redis) == {"viral", "total_reactions", "uniques", "pending", "delta"}


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("code", [0, 5])
def test_a_sample_that_lost_the_bucket_of_the_user_is_dropped(
    redis: Redis, small: SingleLoads, lost: int, code: int
) -> None:
    sample(small, [(4, 1), (3, 1), (2, 1), (1, 1)])
    redis.delete(keys.bucket(keys.post_reactions(POST), lost))
    user = user_in(lost, 2)
    assert user <= 4
    assert (
        react(redis, user, code).status == ACCEPTED
    )  # a missing entry does not mean that there is no reaction
    assert lookups.recent(keys, POST, 4).run(redis) == [0]
    if lost:  # without the first bucket, the script does not know of the others
        assert names(redis) & {"reactions", "reactions:1"} == set()


def test_the_sample_follows_any_order_of_reactions(redis: Redis, small: SingleLoads) -> None:
    """Compared with a list in Python: the newest users in their order, fewer after removals."""
    play = random.Random(7)  # noqa: S311 - not for secrecy
    sample(small, [(1, 1)])
    everyone = {1: 1}  # oldest first
    size = 1
    for _ in range(400):
        user, code = play.randint(1, 9), play.choice([0, 1, 1, 2, 3])
        listed = user in list(everyone)[-size:]
        if listed and size == 1 and code == 0:
            continue  # Redis has no empty lists
        status = react(redis, user, code).status
        if status == UNCHANGED:
            assert everyone.get(user, 0) == code
            continue
        everyone.pop(user, None)
        if code:
            everyone[user] = code
        size = min(4, size + bool(code) - listed)
        newest = list(reversed(everyone.items()))[:size]
        assert entries(redis) == dict(newest)
        assert recent(redis) == [user for user, _ in newest]
        flat = lookups.recent(keys, POST, size).run(redis)
        assert list(zip(map(int, flat[::2]), map(int, flat[1::2]), strict=True)) == newest


def test_total_and_uniques_move_only_where_they_are_cached(
    redis: Redis, small: SingleLoads
) -> None:
    react(redis, 1, 1)
    sample(small, [(4, 1), (3, 1)], total=50, ever=[3, 4])
    total, uniques = keys.post_total_reactions(POST), keys.post_uniques(POST)
    assert (number(redis, total), redis.pfcount(uniques)) == (51, 3)
    react(redis, 9, 1)  # new
    assert (number(redis, total), redis.pfcount(uniques)) == (52, 4)
    react(redis, 9, 2)  # another type
    assert (number(redis, total), redis.pfcount(uniques)) == (52, 4)
    react(redis, 9, 0)  # removed, but still one who ever reacted
    assert (number(redis, total), redis.pfcount(uniques)) == (51, 4)
    react(redis, 77, 0)  # Redis knows of no reaction
    assert (number(redis, total), redis.pfcount(uniques)) == (51, 4)
    redis.delete(total, uniques)
    react(redis, 10, 1)
    react(redis, 10, 0)
    assert not redis.exists(total, uniques)


def test_a_regular_post_gets_none_of_the_viral_keys(redis: Redis, store: SingleLoads) -> None:
    complete(store, {1: 1})
    react(redis, 2, 1)
    react(redis, 1, 0)
    assert not names(redis) & VIRAL_KEYS


def test_reactions_do_not_change_the_ttl_of_a_cache(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: VIRAL})
    sample(small, [(4, 1), (3, 1)], total=50, ever=[3, 4])
    shorten(redis)
    for user in range(1, 12):
        react(redis, user, 1)
        react(redis, user, 2)
    react(redis, 4, 0)
    assert set(lives(redis).values()) == {20_000}


def test_a_deleted_post_refuses(redis: Redis) -> None:
    assert writes.delete(keys, POST).run(redis) == 1
    before = {key: redis.dump(key) for key in redis.keys()}
    for code in (0, 1):
        assert react(redis, 1, code) == (REFUSED, 0, 0, 0)
    assert {key: redis.dump(key) for key in redis.keys()} == before
    assert react(redis, 1, 1, OTHER).status == ACCEPTED
