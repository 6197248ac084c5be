"""install_user.lua: what a read caches of a user."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from tests.lua.support import (
    USER,
    announce_load,
    cache_user,
    cached_of,
    install_user,
    text,
    write_through_users,
)


def test_a_read_caches_reactions_and_their_absence(redis: Redis) -> None:
    announce_load(redis)
    assert install_user(redis, {1: 2, 7: 0}) == 1
    assert cached_of(redis) == {0: 0, 1: 2, 7: 0}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    assert not redis.exists(keys.user_loading(USER))
    assert install_user(redis, {1: 5}) == 0  # a token can be used once


def test_a_complete_install_replaces_the_cache_and_drains_update_it(redis: Redis) -> None:
    cache_user(redis, {5: 1})
    announce_load(redis)
    assert install_user(redis, {1: 2, 7: 0}, whole=True) == 1
    assert cached_of(redis) == {0: 1, 1: 2, 7: 0}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    write_through_users(redis, {USER: [(1, 0), (9, 3)]})
    assert cached_of(redis) == {0: 1, 1: 0, 7: 0, 9: 3}


def test_a_cache_that_dropped_something_loses_its_mark(redis: Redis) -> None:
    """A drain that came late drops entries, and so does a full cache."""
    everything = dict.fromkeys(range(1, 401), 1)
    announce_load(redis)
    install_user(redis, everything, whole=True)
    write_through_users(redis, {USER: [(9, 3)]}, until=0)
    assert cached_of(redis) == {post: 1 for post in everything if post != 9}
    announce_load(redis)
    install_user(redis, everything, whole=True)
    write_through_users(redis, {USER: [(post, 1) for post in range(401, 500)]})
    assert cached_of(redis) == {0: 1} | dict.fromkeys(range(1, 500), 1)
    write_through_users(redis, {USER: [(500, 1)]})
    assert cached_of(redis).keys() == set(range(126, 501))  # and no mark


def test_a_refused_read_writes_no_mark(redis: Redis) -> None:
    """Neither to a hash without one, which drains keep up to date, nor to a user without a hash."""
    announce_load(redis)
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, whole=True) == 0
    assert redis.dbsize() == 0
    redis.hset(keys.user_reactions(USER), "1", "9")
    announce_load(redis)
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, whole=True) == 0
    assert cached_of(redis) == {1: 3}


@pytest.mark.parametrize("cached", [True, False])
def test_a_read_is_refused_after_a_drain_or_another_read(redis: Redis, cached: bool) -> None:
    if cached:
        cache_user(redis, {1: 9})
    before = cached_of(redis)
    assert install_user(redis, {1: 2}) == 0
    announce_load(redis, "u")
    assert install_user(redis, {1: 2}) == 0
    assert text(redis.get(keys.user_loading(USER))) == "u"
    assert cached_of(redis) == before
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, "u") == 0
    assert cached_of(redis) == ({0: 1, 1: 3} if cached else {})


def test_an_install_is_bounded_too(redis: Redis) -> None:
    for first in range(1, 1_001, 200):
        announce_load(redis)
        assert install_user(redis, dict.fromkeys(range(first, first + 200), 1)) == 1
        assert 200 <= len(cached_of(redis)) <= 500
