"""write_through_users.lua: what a drain writes to the caches of users, or drops."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis import keys
from tests.lua.support import (
    FELLOW,
    USER,
    announce_load,
    cached_of,
    install_user,
    write_through_users,
)


def test_a_drain_caches_what_it_committed_of_each_user(redis: Redis) -> None:
    announce_load(redis)
    announce_load(redis, user=FELLOW)
    assert write_through_users(redis, {USER: [(1, 2), (2, 0)], FELLOW: [(1, 3)]}) == 1
    assert write_through_users(redis, {USER: [(2, 5), (7, 1)]}) == 1
    assert cached_of(redis) == {1: 2, 2: 5, 7: 1}
    assert cached_of(redis, FELLOW) == {1: 3}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    assert not redis.exists(keys.user_loading(USER), keys.user_loading(FELLOW))


@pytest.mark.parametrize("user", [1, 9, 10, 99, 100, 205, 2**53 + 1, 2**63 - 1])
def test_the_script_finds_the_keys_of_any_user(redis: Redis, user: int) -> None:
    """Also of an id that is no exact double, or has one digit."""
    announce_load(redis, user=user)
    assert write_through_users(redis, {user: [(1, 2)]}) == 1
    assert redis.keys() == [keys.user_reactions(user).encode()]


def test_after_its_deadline_a_drain_only_drops_what_it_touched(redis: Redis) -> None:
    """Another drain may have committed something newer by then."""
    write_through_users(redis, {USER: [(1, 2), (2, 3)], FELLOW: [(1, 1)]})
    redis.pexpire(keys.user_reactions(USER), 20_000)
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
    seconds, micros = redis.time()
    assert (
        write_through_users(redis, {USER: [(1, 2)]}, until=(seconds + 60) * 1_000_000 + micros) == 1
    )


def test_the_newest_500_posts_of_a_user_are_kept(redis: Redis) -> None:
    for post in range(1, 501):
        write_through_users(redis, {USER: [(post, 1)]})
    assert len(cached_of(redis)) == 500
    write_through_users(redis, {USER: [(501, 1)]})
    kept = cached_of(redis)
    assert kept == dict.fromkeys(range(127, 502), 1)
    assert redis.object("encoding", keys.user_reactions(USER)) == b"listpack"


@pytest.mark.parametrize("posts", [600, 2_500, 20_000])
def test_a_batch_with_very_many_reactions_of_one_user(redis: Redis, posts: int) -> None:
    """``batch_rows`` allows so many; a Lua call takes a few thousand arguments."""
    assert write_through_users(redis, {USER: [(post, 1) for post in range(1, posts + 1)]}) == 1
    kept = cached_of(redis)
    assert 300 < len(kept) <= 500
    assert set(kept.values()) == {1}


@pytest.mark.parametrize("writer", ["drain", "reader"])
def test_a_users_cache_stays_a_listpack_of_the_newest(redis: Redis, writer: str) -> None:
    """A drain with many reactions of one user, or a feed, writes to a hash that is nearly full."""
    write_through_users(redis, {USER: [(post, 1) for post in range(1, 451)]})
    more = dict.fromkeys(range(451, 651), 1)
    if writer == "drain":
        write_through_users(redis, {USER: list(more.items())})
    else:
        announce_load(redis)
        install_user(redis, more)
    assert set(more) <= set(cached_of(redis))
    assert redis.object("encoding", keys.user_reactions(USER)) == b"listpack"
