"""``UserCache``: written through by drains, installed by reads."""

from __future__ import annotations

import pytest

from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.redis.clock import Clock
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import run_all
from reactions.redis.user_cache import UserCache, UserLookup, parse_user_lookup

USER, POST = 7, 1042


@pytest.fixture
def users(client: Client, redis_settings: Settings) -> UserCache:
    return UserCache(client, redis_settings)


@pytest.fixture
def later(client: Client, redis_settings: Settings) -> int:
    """A time at which the lease of a drain ends."""
    return int(Clock(client, redis_settings).now_us()) + 60_000_000


def lookup(users: UserCache, posts: list[int]) -> UserLookup:
    return parse_user_lookup(posts, run_all(users._client, users.lookup_commands(USER, posts))[0])


def install(users: UserCache, token: str, found: dict[int, int], *, whole: bool) -> None:
    run_all(users._client, [users.install_call(USER, token, found, whole=whole)])


def fence(users: UserCache, token: str) -> None:
    run_all(users._client, [users.fence_command(USER, token)])


def cache(users: UserCache, found: dict[int, int], user: int = USER) -> None:
    """Cache all reactions of a user; a drain writes only to a user who is cached."""
    install = users.install_call(user, "t", found, whole=True)
    assert run_all(users._client, [users.fence_command(user, "t"), install])[1] == 1


def test_a_user_who_is_cached_whole_has_no_other_reactions(users: UserCache) -> None:
    assert lookup(users, [POST]) == UserLookup({}, many=False)
    fence(users, "t")
    install(users, "t", {POST: 3}, whole=True)
    assert lookup(users, [POST, 5]) == UserLookup({POST: 3, 5: 0}, many=False)


def test_a_user_with_too_many_reactions_is_cached_in_part(users: UserCache) -> None:
    fence(users, "t")
    install(users, "t", {POST: 3, 6: 0}, whole=False)
    assert lookup(users, [POST, 5, 6]) == UserLookup({POST: 3, 6: 0}, many=True)


def test_a_drain_refuses_the_install_of_a_read(users: UserCache, later: int) -> None:
    cache(users, {5: 1})
    fence(users, "u")
    users.write_through([Row(POST, USER, 4, 1)], later)
    install(users, "u", {POST: 3}, whole=True)
    assert lookup(users, [POST, 5]) == UserLookup({POST: 4, 5: 1}, many=False)


def test_a_drain_leaves_nothing_of_a_user_who_is_not_cached(
    users: UserCache, client: Client, later: int
) -> None:
    """It only refuses the install of a read that is under way."""
    cache(users, {5: 1}, user=8)
    fence(users, "u")
    users.write_through([Row(POST, USER, 4, 1), Row(POST, 8, 4, 1)], later)
    assert client.keys() == [keys.user_reactions(8).encode()]
    install(users, "u", {POST: 3}, whole=True)
    assert lookup(users, [POST]) == UserLookup({}, many=False)
    assert users.cached_reactions([(8, POST), (8, 5)]) == {(8, POST): 4, (8, 5): 1}


def test_a_write_after_the_end_of_the_lease_drops_instead(users: UserCache, later: int) -> None:
    cache(users, {})
    users.write_through([Row(POST, USER, 4, 1), Row(5, USER, 1, 1)], later)
    assert users.cached_reactions([(USER, POST), (USER, 5)]) == {(USER, POST): 4, (USER, 5): 1}
    users.write_through([Row(POST, USER, 2, 2)], 1)
    assert users.cached_reactions([(USER, POST), (USER, 5)]) == {(USER, 5): 1}


def test_a_value_that_is_not_a_code_differs_from_every_code(
    users: UserCache, client: Client
) -> None:
    client.hset(keys.user_reactions(USER), str(POST), "foreign")
    assert users.cached_reactions([(USER, POST)]) == {(USER, POST): -1}


def test_drops(users: UserCache, client: Client, later: int) -> None:
    for user in (1, 2, 3):
        cache(users, {}, user)
    users.write_through([Row(POST, user, 1, 1) for user in (1, 2, 3)], later)
    users.drop_post(POST, [1])
    assert set(users.cached_reactions([(u, POST) for u in (1, 2, 3)])) == {(2, POST), (3, POST)}
    users.drop(2)
    assert not client.exists(keys.user_reactions(2))
    users.drop_all()
    assert client.dbsize() == 0
