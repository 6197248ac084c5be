"""``PostCache``: what reads find."""

from __future__ import annotations

import pytest

from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox import Outbox
from reactions.redis.post_cache import MAX_POSTS_PER_LOOKUP, PostCache
from reactions.redis.writes import RedisWrites

POST, SHARD = 1042, 42


@pytest.fixture
def cache(client: Client, redis_settings: Settings) -> PostCache:
    return PostCache(client, redis_settings)


def test_a_lookup_of_many_posts_is_divided(cache: PostCache, redis_settings: Settings) -> None:
    posts = range(1, 2 * MAX_POSTS_PER_LOOKUP + 2)
    groups, calls = cache.lookup_calls(posts)
    assert [len(group) for group in groups] == [MAX_POSTS_PER_LOOKUP, MAX_POSTS_PER_LOOKUP, 1]
    assert len(calls) == 3
    cluster = PostCache(cache._client, redis_settings.model_copy(update={"redis_cluster": True}))
    assert len(cluster.lookup_calls(posts).calls) == 100  # one for each shard


def test_nothing_is_known_of_a_post_that_is_not_cached(cache: PostCache) -> None:
    lookup = cache.lookup(POST)
    assert (lookup.deleted, lookup.viral, lookup.buckets) == (False, False, 0)
    assert not lookup.counts
    assert cache.recent(POST, 10) is None
    assert cache.pending(POST, 10) == {}
    assert cache.uniques(POST) is None


def test_a_pending_change_covers_a_claimed_one(
    cache: PostCache, client: Client, redis_settings: Settings
) -> None:
    writes = RedisWrites(client, redis_settings)
    first = writes.record(1, POST, 1)
    Outbox(client, redis_settings).claim({SHARD: ""})
    second, third = writes.record(1, POST, 2), writes.record(2, POST, 3)
    assert int(first.version) < int(second.version)
    assert cache.pending(POST, 3) == {1: (2, int(second.version)), 2: (3, int(third.version))}
    assert cache.pending(POST, 2) is None  # two pending and one claimed change
    assert cache.changed(POST, [1, 2, 3]) == {1, 2}
    assert cache.changed(POST, []) == set()


def test_a_foreign_entry_is_not_a_change(cache: PostCache, client: Client) -> None:
    client.hset(keys.post_pending(POST), mapping={"7": "garbage", "x": "1:5", "8": "1:5"})
    assert cache.pending(POST, 10) == {8: (1, 5)}


def test_a_deleted_post_has_no_reactors(cache: PostCache, client: Client) -> None:
    client.pfadd(keys.post_uniques(POST), "1", "2")
    assert cache.uniques(POST) == 2
    client.sadd(keys.outbox_deleted(SHARD), POST)
    assert cache.uniques(POST) == 0
    assert cache.lookup(POST).deleted
