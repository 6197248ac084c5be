"""install_counts.lua: counts of the database plus what is pending."""

from __future__ import annotations

from redis import Redis

from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from reactions.redis.post_cache import PostCache
from reactions.redis.scripts.loading import FenceReply
from tests.lua.support import (
    OTHER,
    POST,
    VIRAL,
    lives,
    react,
)
from tests.support.loads import SingleLoads


def test_counts_are_installed_with_what_is_pending(
    redis: Redis, store: SingleLoads, redis_settings: Settings
) -> None:
    react(redis, 1, 2)
    assert store.fence(POST, "t")
    assert store.install_counts(POST, "t", {1: 5, 2: 0}) == (True, {1: 5, 2: 1})
    assert PostCache(redis, redis_settings).lookup(POST).counts == {1: 5, 2: 1}
    assert 0 < redis.pttl(keys.post_reaction_counts(POST)) <= 86_400_000
    assert not redis.exists(keys.post_loading(POST))


def test_refused_counts_are_returned_but_not_cached(
    redis: Redis, store: SingleLoads, redis_settings: Settings
) -> None:
    react(redis, 1, 2)
    assert store.install_counts(POST, "never fenced", {1: 5}) == (False, {1: 5, 2: 1})
    assert not PostCache(redis, redis_settings).lookup(POST).counts


def test_only_the_last_of_two_loads_installs(store: SingleLoads) -> None:
    assert store.fence(POST, "first")
    assert store.fence(POST, "second")
    assert store.install_counts(POST, "first", {1: 1})[0] is False
    assert store.install_counts(POST, "second", {1: 2})[0] is True


def test_installed_counts_decide_the_tier(redis: Redis, redis_settings: Settings) -> None:
    store = SingleLoads(
        redis,
        redis_settings.model_copy(
            update={
                "viral_threshold": VIRAL,
                "cache_ttl_jitter": 0.0,
                "cache_ttl_cold_s": 100,
                "cache_ttl_viral_s": 400,
            }
        ),
    )
    react(redis, 1, 2)
    assert store.fence(POST, "t")
    assert store.install_counts(POST, "t", {1: VIRAL - 2}) == (True, {1: VIRAL - 2, 2: 1})
    assert lives(redis) == {"reaction_counts": 100_000}
    assert store.fence(POST, "t")
    assert store.install_counts(POST, "t", {1: VIRAL - 1}) == (True, {1: VIRAL - 1, 2: 1})
    assert lives(redis) == {"reaction_counts": 400_000, "viral": 400_000}
    assert store.fence_many([POST, OTHER], "t") == {
        POST: FenceReply.VIRAL,
        OTHER: FenceReply.REGULAR,
    }
    # Between the low mark and the threshold, the flag keeps it viral.
    assert store.install_counts(POST, "t", {1: VIRAL - 3})[0]
    assert lives(redis)["reaction_counts"] == 400_000
