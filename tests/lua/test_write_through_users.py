"""write_through_users.lua: what a drain writes to the caches of users, or drops."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from tests.lua.support import (
    FELLOW,
    FOREVER,
    USER,
    announce_load,
    cache_user,
    cached_of,
    install_user,
    write_through_users,
)


def test_a_drain_writes_what_it_committed_to_each_cached_user(redis: Redis) -> None:
    cache_user(redis, {1: 9, 3: 3})
    cache_user(redis, {}, user=FELLOW)
    announce_load(redis)
    announce_load(redis, user=FELLOW)
    assert write_through_users(redis, {USER: [(1, 2), (2, 0)], FELLOW: [(1, 3)]}) == 1
    assert write_through_users(redis, {USER: [(2, 5), (7, 1)]}) == 1
    assert cached_of(redis) == {0: 1, 1: 2, 2: 5, 3: 3, 7: 1}
    assert cached_of(redis, FELLOW) == {0: 1, 1: 3}
    for user in (USER, FELLOW):
        assert 49_000 < redis.pttl(keys.user_reactions(user)) <= 50_000
    assert not redis.exists(keys.user_loading(USER), keys.user_loading(FELLOW))


@pytest.mark.parametrize("until", [FOREVER, 0])
def test_a_drain_only_refuses_the_load_of_a_user_who_is_not_cached(
    redis: Redis, until: int
) -> None:
    """The hash would say nothing of other posts, and most users who write are never read."""
    cache_user(redis, {1: 9}, user=FELLOW)
    announce_load(redis)
    users = {USER: [(1, 2), (2, 0)], FELLOW: [(1, 3)]}
    assert write_through_users(redis, users, until) == (until == FOREVER)
    assert redis.keys() == ([keys.user_reactions(FELLOW).encode()] if until else [])
    assert install_user(redis, {1: 9}, whole=True) == 0
    assert cached_of(redis) == {}
    assert cached_of(redis, FELLOW) == ({0: 1, 1: 3} if until else {})


def test_a_drain_writes_to_a_hash_without_a_mark(redis: Redis) -> None:
    """What it has of a post must stay the newest, although it says nothing of other posts."""
    redis.hset(keys.user_reactions(USER), "1", "9")
    assert write_through_users(redis, {USER: [(1, 2), (2, 3)]}) == 1
    assert cached_of(redis) == {1: 2, 2: 3}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000


@pytest.mark.parametrize("user", [1, 9, 10, 99, 100, 205, 2**53 + 1, 2**63 - 1])
def test_the_script_finds_the_keys_of_any_user(redis: Redis, user: int) -> None:
    """Also of an id that is no exact double, or has one digit."""
    cache_user(redis, {}, user=user)
    announce_load(redis, user=user)
    assert write_through_users(redis, {user: [(1, 2)]}) == 1
    assert cached_of(redis, user) == {0: 1, 1: 2}
    assert redis.keys() == [keys.user_reactions(user).encode()]


def test_after_its_deadline_a_drain_only_drops_what_it_touched(redis: Redis) -> None:
    """Another drain may have committed something newer by then."""
    cache_user(redis, {1: 2, 2: 3})
    cache_user(redis, {1: 1}, user=FELLOW)
    seconds, micros = redis.time()
    for user in (USER, FELLOW):
        announce_load(redis, user=user)
    users = {USER: [(1, 9), (5, 9)], FELLOW: [(1, 9)]}
    assert write_through_users(redis, users, until=seconds * 1_000_000 + micros) == 0
    assert cached_of(redis) == {2: 3}
    assert cached_of(redis, FELLOW) == {}
    assert redis.pttl(keys.user_reactions(USER)) <= 20_000
    assert not redis.exists(keys.user_loading(USER), keys.user_loading(FELLOW))
    assert write_through_users(redis, {USER: [(2, 9)]}, until=0) == 0
    assert redis.dbsize() == 0


def test_a_drain_may_write_until_its_deadline(redis: Redis) -> None:
    cache_user(redis, {})
    seconds, micros = redis.time()
    assert (
        write_through_users(redis, {USER: [(1, 2)]}, until=(seconds + 60) * 1_000_000 + micros) == 1
    )
    assert cached_of(redis) == {0: 1, 1: 2}


def test_the_newest_500_posts_of_a_user_are_kept(redis: Redis) -> None:
    cache_user(redis, {})
    for post in range(1, 500):
        write_through_users(redis, {USER: [(post, 1)]})
    assert cached_of(redis) == {0: 1} | dict.fromkeys(range(1, 500), 1)  # 500 with the mark
    for post in (500, 501):
        write_through_users(redis, {USER: [(post, 1)]})
    kept = cached_of(redis)
    assert kept == dict.fromkeys(range(126, 502), 1)  # and no mark
    assert redis.object("encoding", keys.user_reactions(USER)) == b"listpack"


@pytest.mark.parametrize("posts", [600, 2_500, 20_000])
def test_a_batch_with_very_many_reactions_of_one_user(redis: Redis, posts: int) -> None:
    """``batch_rows`` allows so many; a Lua call takes a few thousand arguments."""
    cache_user(redis, {})
    assert write_through_users(redis, {USER: [(post, 1) for post in range(1, posts + 1)]}) == 1
    kept = cached_of(redis)
    assert 300 < len(kept) <= 500
    assert set(kept.values()) == {1}
    assert set(range(posts - 299, posts + 1)) <= set(kept) <= set(range(1, posts + 1))


@pytest.mark.parametrize("writer", ["drain", "reader"])
def test_a_users_cache_stays_a_listpack_of_the_newest(redis: Redis, writer: str) -> None:
    """A drain with many reactions of one user, or a feed, writes to a hash that is nearly full."""
    cache_user(redis, dict.fromkeys(range(1, 451), 1))
    more = dict.fromkeys(range(451, 651), 1)
    if writer == "drain":
        write_through_users(redis, {USER: list(more.items())})
    else:
        announce_load(redis)
        install_user(redis, more)
    assert set(more) <= set(cached_of(redis))
    assert redis.object("encoding", keys.user_reactions(USER)) == b"listpack"
