"""install_reactions.lua: the complete hash of a regular post."""

from __future__ import annotations

from typing import Any

import pytest
from redis import Redis

from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import Call, run_many
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.scripts import loading
from tests.lua.support import (
    POST,
    VIRAL,
    complete,
    entries,
    lives,
    names,
    react,
    sample,
    settle,
)
from tests.support.loads import SingleLoads


def test_a_loaded_hash_is_overlaid_with_what_is_pending(redis: Redis, store: SingleLoads) -> None:
    react(redis, 1, 3)
    react(redis, 2, 0)
    assert store.fence(POST, "t")
    assert store.install_reactions(POST, "t", {1: 1, 2: 1, 5: 1})
    assert redis.hgetall(keys.post_reactions(POST)) == {b"0": b"1", b"1": b"3", b"5": b"1"}
    assert redis.pttl(keys.post_reactions(POST)) > 0


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 2500])
def test_a_hash_of_any_size_is_installed_completely(
    redis: Redis, store: SingleLoads, size: int
) -> None:
    redis.hset(keys.post_reactions(POST), mapping={"77777": 1})  # the install drops this
    assert store.fence(POST, "t")
    assert store.install_reactions(POST, "t", dict.fromkeys(range(1, size + 1), 1))
    (found,) = PostSnapshots(redis, Settings()).snapshots([POST])
    assert found.complete
    assert found.reactions == dict.fromkeys(range(1, size + 1), 1)
    assert all(len(entries or {}) < 512 for entries in found.entries)


@pytest.mark.parametrize("rest", [None, {"5": 1}])
def test_a_loaded_hash_that_was_lost_is_not_installed_as_an_empty_one(
    redis: Redis, store: SingleLoads, rest: dict[str, int] | None
) -> None:
    """It was evicted before the install, or between two chunks: then its mark is gone, too."""
    assert store.fence(POST, "t")
    loaded = f"{keys.post_loading(POST)}:t"
    if rest:
        redis.hset(loaded, mapping=rest)  # type: ignore[arg-type]
    call = loading.install_reactions(keys, POST, "t", ttl_ms=1000, overlay=10, size=1)
    assert call.run(redis) == 0
    assert not redis.exists(keys.post_reactions(POST), loaded)


def test_a_refused_hash_is_not_left_behind(redis: Redis, store: SingleLoads) -> None:
    assert store.fence(POST, "t")
    redis.delete(keys.post_loading(POST))  # as a claim does, or an eviction
    assert store.install_reactions(POST, "t", {1: 1}) is False
    assert redis.dbsize() == 0


def test_a_corrupt_pending_entry_does_not_break_a_load(redis: Redis, store: SingleLoads) -> None:
    redis.hset(keys.post_pending(POST), "1", "garbage")
    assert store.fence(POST, "t")
    assert store.install_reactions(POST, "t", {1: 1})


def test_a_complete_hash_replaces_everything_viral(redis: Redis, small: SingleLoads) -> None:
    settle(redis, {1: VIRAL})
    sample(small, [(user, 1) for user in range(1, 9)], ever=[1])
    complete(small, {1: 1, 2: 2})
    assert names(redis) == {"reaction_counts", "reactions"}
    assert entries(redis) == {1: 1, 2: 2}


def test_a_smaller_hash_leaves_nothing_of_a_larger_one(redis: Redis, small: SingleLoads) -> None:
    complete(small, dict.fromkeys(range(1, 30), 1))
    complete(small, {1: 1, 2: 2, 3: 3})
    assert names(redis) == {"reactions", "reactions:1"}
    assert entries(redis) == {1: 1, 2: 2, 3: 3}


@pytest.mark.parametrize("lost", [0, 1, 2])
def test_a_loaded_hash_that_lost_a_bucket_is_refused(
    redis: Redis, small: SingleLoads, monkeypatch: pytest.MonkeyPatch, lost: int
) -> None:
    execute = run_many

    def lose_a_bucket(client: Redis, calls: list[Call]) -> Any:
        assert [call.script for call in calls] == [loading.INSTALL_REACTIONS]
        assert client.delete(keys.bucket(keys.post_loaded(POST, "t"), lost)) == 1
        return execute(client, calls)

    assert small.fence(POST, "t")
    monkeypatch.setattr("reactions.redis.pipeline.run_many", lose_a_bucket)
    assert not small.install_reactions(POST, "t", dict.fromkeys(range(1, 6), 1))
    assert names(redis) == {"loading"}


def test_pending_reactions_go_to_the_right_bucket(redis: Redis, small: SingleLoads) -> None:
    react(redis, 1, 0)
    react(redis, 2, 4)
    react(redis, 8, 5)
    complete(small, dict.fromkeys(range(1, 6), 1))
    assert entries(redis) == {2: 4, 3: 1, 4: 1, 5: 1, 8: 5}
    assert len(set(lives(redis).values())) == 1
