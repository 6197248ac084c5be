"""install_user.lua: what a read caches of a user."""

from __future__ import annotations

from redis import Redis

from reactions.redis import keys
from tests.lua.support import (
    USER,
    announce_load,
    install_user,
    remembered,
    text,
    write_through_users,
)


def test_what_a_reader_found_is_cached_also_that_there_is_nothing(redis: Redis) -> None:
    announce_load(redis)
    assert install_user(redis, {1: 2, 7: 0}) == 1
    assert remembered(redis) == {0: 0, 1: 2, 7: 0}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    assert not redis.exists(keys.user_loading(USER))
    assert install_user(redis, {1: 5}) == 0  # a token serves once


def test_all_of_a_user_takes_the_place_of_what_was_and_is_kept_up_to_date(redis: Redis) -> None:
    write_through_users(redis, {USER: [(5, 1)]})
    announce_load(redis)
    assert install_user(redis, {1: 2, 7: 0}, whole=True) == 1
    assert remembered(redis) == {0: 1, 1: 2, 7: 0}
    assert 49_000 < redis.pttl(keys.user_reactions(USER)) <= 50_000
    write_through_users(redis, {USER: [(1, 0), (9, 3)]})
    assert remembered(redis) == {0: 1, 1: 0, 7: 0, 9: 3}


def test_absence_is_no_answer_any_more_once_something_was_dropped(redis: Redis) -> None:
    """By a drain that came late, or for want of room."""
    everything = dict.fromkeys(range(1, 401), 1)
    announce_load(redis)
    install_user(redis, everything, whole=True)
    write_through_users(redis, {USER: [(9, 3)]}, until=0)
    assert remembered(redis) == {post: 1 for post in everything if post != 9}
    announce_load(redis)
    install_user(redis, everything, whole=True)
    write_through_users(redis, {USER: [(post, 1) for post in range(401, 500)]})
    assert remembered(redis) == {0: 1} | dict.fromkeys(range(1, 500), 1)
    write_through_users(redis, {USER: [(500, 1)]})
    assert remembered(redis).keys() == set(range(126, 501))  # and no mark


def test_a_reader_who_is_refused_says_nothing_of_absence(redis: Redis) -> None:
    announce_load(redis)
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, whole=True) == 0
    assert remembered(redis) == {1: 3}


def test_a_reader_is_refused_after_a_drain_or_another_reader(redis: Redis) -> None:
    assert install_user(redis, {1: 2}) == 0
    announce_load(redis, "u")
    assert install_user(redis, {1: 2}) == 0
    assert text(redis.get(keys.user_loading(USER))) == "u"
    write_through_users(redis, {USER: [(1, 3)]})
    assert install_user(redis, {1: 2}, "u") == 0
    assert remembered(redis) == {1: 3}


def test_what_a_reader_found_is_bounded_too(redis: Redis) -> None:
    for first in range(1, 1_001, 200):
        announce_load(redis)
        assert install_user(redis, dict.fromkeys(range(first, first + 200), 1)) == 1
        assert 200 <= len(remembered(redis)) <= 500
