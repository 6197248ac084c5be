"""recent.lua: the newest users of a sample."""

from __future__ import annotations

import pytest
from redis import Redis

from reactions.redis.keys import default_keys as keys
from reactions.redis.post_cache import PostCache
from reactions.redis.scripts import lookups
from tests.lua.support import (
    POST,
    complete,
    key_of,
    react,
    sample,
)
from tests.support.loads import SingleLoads


def test_recent_replies_the_newest_users_with_their_reactions(
    redis: Redis, small: SingleLoads, posts: PostCache
) -> None:
    sample(small, [(4, 1), (3, 2), (2, 3), (1, 4)])
    assert lookups.recent(keys, POST, 10).run(redis) == [
        b"4",
        b"1",
        b"3",
        b"2",
        b"2",
        b"3",
        b"1",
        b"4",
    ]
    assert lookups.recent(keys, POST, 1).run(redis) == [b"4", b"1"]
    assert posts.recent(POST, 2) == [(4, 1), (3, 2)]
    react(redis, 1, 6)
    assert posts.recent(POST, 2) == [(1, 6), (4, 1)]


@pytest.mark.parametrize("lost", ["reactions", "reactions:1", "recent"])
def test_recent_refuses_when_a_part_is_lost(
    redis: Redis, small: SingleLoads, posts: PostCache, lost: str
) -> None:
    sample(small, [(4, 1), (3, 2), (2, 3), (1, 4)])
    redis.delete(key_of(lost))
    assert lookups.recent(keys, POST, 10).run(redis) == [0]
    assert posts.recent(POST, 10) is None


def test_recent_refuses_when_the_sample_is_too_short(
    redis: Redis, small: SingleLoads, posts: PostCache
) -> None:
    sample(small, [(4, 1), (3, 2), (2, 3), (1, 4)], total=20)
    react(redis, 3, 0)
    assert posts.recent(POST, 3) == [(4, 1), (2, 3), (1, 4)]
    assert posts.recent(POST, 4) is None
    redis.set(keys.post_total_reactions(POST), 3)  # the other users removed their reactions
    assert posts.recent(POST, 4) == [(4, 1), (2, 3), (1, 4)]
    redis.delete(keys.post_total_reactions(POST))
    assert posts.recent(POST, 4) is None
    assert posts.recent(POST, 3) == [(4, 1), (2, 3), (1, 4)]


def test_recent_of_a_post_without_a_sample(
    redis: Redis, small: SingleLoads, posts: PostCache
) -> None:
    assert posts.recent(POST, 10) is None
    complete(small, {1: 1})
    assert posts.recent(POST, 10) is None
    redis.rpush(keys.post_recent(POST), 1)
    assert posts.recent(POST, 10) is None
