"""fence.lua, install_counts.lua, install_reactions.lua, snapshot.lua, and the contract headers."""

from __future__ import annotations

import re

import pytest
from redis import Redis

from reactions.core import resources
from reactions.core.settings import Settings
from reactions.redis import keys, scripts
from reactions.redis.pipeline import Call, Command, Script, run_many
from reactions.redis.post_cache import PostCache
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.scripts import loading, writes
from tests.support.loads import SingleLoads

POST = 1042


@pytest.fixture
def cache(redis: Redis, redis_settings: Settings) -> SingleLoads:
    return SingleLoads(redis, redis_settings)


def react(redis: Redis, user: int, code: int) -> None:
    writes.record(user, POST, code, 10_000_000).run(redis)


def test_counts_are_installed_with_what_is_pending(
    redis: Redis, cache: SingleLoads, redis_settings: Settings
) -> None:
    react(redis, 1, 2)
    assert cache.fence(POST, "t")
    assert cache.install_counts(POST, "t", {1: 5, 2: 0}) == (True, {1: 5, 2: 1})
    assert PostCache(redis, redis_settings).lookup(POST).counts == {1: 5, 2: 1}
    assert 0 < redis.pttl(keys.post_reaction_counts(POST)) <= 86_400_000
    assert not redis.exists(keys.post_loading(POST))


def test_refused_counts_are_answered_but_not_cached(
    redis: Redis, cache: SingleLoads, redis_settings: Settings
) -> None:
    react(redis, 1, 2)
    assert cache.install_counts(POST, "never fenced", {1: 5}) == (False, {1: 5, 2: 1})
    assert not PostCache(redis, redis_settings).lookup(POST).counts


def test_only_the_last_of_two_loads_installs(cache: SingleLoads) -> None:
    assert cache.fence(POST, "first")
    assert cache.fence(POST, "second")
    assert cache.install_counts(POST, "first", {1: 1})[0] is False
    assert cache.install_counts(POST, "second", {1: 2})[0] is True


def test_a_loaded_hash_is_overlaid_with_what_is_pending(redis: Redis, cache: SingleLoads) -> None:
    react(redis, 1, 3)
    react(redis, 2, 0)
    assert cache.fence(POST, "t")
    assert cache.install_reactions(POST, "t", {1: 1, 2: 1, 5: 1})
    assert redis.hgetall(keys.post_reactions(POST)) == {b"0": b"1", b"1": b"3", b"5": b"1"}
    assert redis.pttl(keys.post_reactions(POST)) > 0


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 2500])
def test_a_hash_of_any_size_is_installed_whole(redis: Redis, cache: SingleLoads, size: int) -> None:
    redis.hset(keys.post_reactions(POST), mapping={"77777": 1})  # what was there before is gone
    assert cache.fence(POST, "t")
    assert cache.install_reactions(POST, "t", dict.fromkeys(range(1, size + 1), 1))
    (found,) = PostSnapshots(redis).snapshots([POST])
    assert found.complete
    assert found.reactions == dict.fromkeys(range(1, size + 1), 1)
    assert all(len(entries or {}) < 512 for entries in found.entries)


@pytest.mark.parametrize("rest", [None, {"5": 1}])
def test_a_loaded_hash_that_was_lost_is_not_installed_as_an_empty_one(
    redis: Redis, cache: SingleLoads, rest: dict[str, int] | None
) -> None:
    """Evicted before the install, or between two of its chunks: then its mark is gone too."""
    assert cache.fence(POST, "t")
    loaded = f"{keys.post_loading(POST)}:t"
    if rest:
        redis.hset(loaded, mapping=rest)  # type: ignore[arg-type]
    call = loading.install_reactions(POST, "t", ttl_ms=1000, overlay=10, size=1)
    assert call.run(redis) == 0
    assert not redis.exists(keys.post_reactions(POST), loaded)


def test_a_refused_hash_is_not_left_behind(redis: Redis, cache: SingleLoads) -> None:
    assert cache.fence(POST, "t")
    redis.delete(keys.post_loading(POST))  # as a claim does, or an eviction
    assert cache.install_reactions(POST, "t", {1: 1}) is False
    assert redis.dbsize() == 0


def test_a_corrupt_pending_entry_does_not_break_a_load(redis: Redis, cache: SingleLoads) -> None:
    redis.hset(keys.post_pending(POST), "1", "garbage")
    assert cache.fence(POST, "t")
    assert cache.install_reactions(POST, "t", {1: 1})


def test_a_snapshot_is_everything_of_one_moment(redis: Redis, cache: SingleLoads) -> None:
    react(redis, 1, 3)
    cache.fence(POST, "t")
    (found,) = PostSnapshots(redis).snapshots([POST])
    assert (found.complete, found.reactions, found.counts) == (False, {}, {})
    assert (found.pending, found.claimed, found.delta) == ({1: 3}, {}, {3: 1})
    assert found.loading == "t"


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_every_script_comes_back_after_a_flush(redis: Redis, script: Script) -> None:
    """By itself, at the first call: the server forgot it, or was restarted."""
    redis.script_flush()
    call = loading.fence(POST, "t", 1000) if script is loading.FENCE else None
    if call is None:
        redis.script_load(script.source)
        assert redis.script_exists(script.sha) == [True]
        return
    assert call.run(redis) == 1
    redis.script_flush()
    assert run_many(redis, [call, call]) == [1, 1]


def test_commands_behind_a_script_that_was_missing_are_sent_again(redis: Redis) -> None:
    """A read looks at what is remembered of a user after the outbox, never before."""
    redis.script_flush()
    first, again = keys.post_rate(POST), keys.post_total_reactions(POST)
    fence: Call | Command = loading.fence(POST, "t", 1000)
    calls = [Command(("INCR", first)), fence, Command(("INCR", again))]
    assert run_many(redis, calls) == [1, 1, 2]
    assert run_many(redis, calls) == [2, 1, 3]


@pytest.mark.parametrize("script", scripts.ALL, ids=lambda script: script.name)
def test_the_header_states_as_many_keys_as_the_binding_sends(script: Script) -> None:
    header = resources.lua(script.name).split("\n\n", 1)[0]
    stated = re.search(r"-- KEYS(.*?)-- ARGV", header, re.DOTALL)
    assert stated is not None
    assert len(set(re.findall(r"\b(\d+) (?:post|user|outbox|the)", stated[1]))) == script.keys
