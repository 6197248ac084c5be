"""settle.lua with include/rising.lua: posts that grow so fast that they will soon be viral."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from redis import Redis

from reactions.core.settings import Settings
from reactions.redis.cache_install import CacheInstall
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import drain
from reactions.redis.scripts.drain import (
    BECAME_REGULAR,
    BECAME_VIRAL,
    LOAD_HASH,
    LOAD_SAMPLE,
    RISING,
    SettledPost,
    TierRules,
)
from reactions.redis.scripts.loading import FenceReply
from tests.support.profiles import examples

SHARD = 42
POST = 1042
VIRAL, LOW, WATCHED = 1_000, 800, 100
WINDOW_S, HORIZON_S = 600, 1_800
TIERS = TierRules(
    VIRAL, LOW, 1000, 60_000, 61_000, 62_000, 63_000, WINDOW_S * 10**6, HORIZON_S * 10**6, WATCHED
)
NOW = 1_800_000_000

_tokens = itertools.count()


@pytest.fixture
def store(redis: Redis, redis_settings: Settings) -> CacheInstall:
    return CacheInstall(redis, redis_settings)


def settle(redis: Redis, total: int, at_s: float, tiers: TierRules = TIERS) -> set[int]:
    """Settle a batch that was claimed at ``at_s``; the post then has ``total`` reactions."""
    token = f"claim{next(_tokens)}"
    redis.zadd(keys.outbox_dirty(SHARD), {str(POST): 1}, nx=True)
    redis.hset(keys.post_pending(POST), "999999", "1:1")
    claimed = drain.claim(
        keys, SHARD, token, "", lease_us=10**7, longest_us=10**7, posts=9, rows=999, inline=999
    ).run(redis)
    assert claimed[0] == 1
    posts = [SettledPost(POST, 1000, False, 0, {1: total})]
    at = int((NOW + at_s) * 1e6)
    reply = drain.settle(keys, SHARD, token, at, tiers=tiers, lags={}, posts=posts).run(redis)
    assert reply[0] == 1
    return set(reply[4::2]) - {LOAD_HASH}


def grow(redis: Redis, per_minute: int, minutes: int, *, start: int, at_min: int = 0) -> list[int]:
    """Settle once a minute; return the minutes at which the post became rising."""
    return [
        minute
        for minute in range(minutes)
        if RISING in settle(redis, start + per_minute * minute, (at_min + minute) * 60.0)
    ]


def flag(redis: Redis) -> object:
    return redis.get(keys.post_viral(POST))


def test_a_post_that_will_be_viral_soon_is_rising(redis: Redis, store: CacheInstall) -> None:
    """At 20 a minute, 400 more take 20 minutes: within the horizon of 30."""
    (minute,) = grow(redis, 20, 20, start=200)
    assert 5 < minute < 20
    assert flag(redis) == b"2"
    assert redis.pttl(keys.post_viral(POST)) > 62_000  # the TTL of a viral post
    assert redis.exists(keys.post_loading(POST))  # for the sample
    assert store.fence_many([POST], "t") == {POST: FenceReply.RISING}
    assert settle(redis, VIRAL, 3600.0) >= {BECAME_VIRAL}
    assert flag(redis) == b"1"


def test_a_post_that_grows_slowly_is_not_rising(redis: Redis) -> None:
    """At 2 a minute, the missing reactions take hours."""
    assert grow(redis, 2, 60, start=500) == []
    assert flag(redis) is None


def test_a_small_post_is_not_measured(redis: Redis) -> None:
    assert settle(redis, WATCHED - 1, 0.0) == set()
    assert not redis.exists(keys.post_rate(POST))
    assert settle(redis, WATCHED, 1.0) == set()
    assert redis.exists(keys.post_rate(POST))
    assert 0 < redis.pttl(keys.post_rate(POST)) <= 10 * WINDOW_S * 1000


def test_no_post_is_rising_with_a_horizon_of_zero(redis: Redis) -> None:
    off = TIERS._replace(horizon_us=0)
    for at in range(30):
        assert RISING not in settle(redis, 200 + 20 * at, at * 60.0, off)
    assert not redis.exists(keys.post_rate(POST))


def test_changes_without_new_users_are_no_growth(redis: Redis) -> None:
    """Users who toggle all day do not make a post more popular."""
    for at in range(60):
        assert RISING not in settle(redis, 500 + 5 * (at % 2), at * 1.0)


def test_a_rising_post_that_stops_growing_becomes_regular_later(redis: Redis) -> None:
    assert len(grow(redis, 20, 20, start=200)) == 1
    total, calm = 200 + 20 * 19, []
    for minute in range(20, 80):
        reported = settle(redis, total, minute * 60.0)
        if BECAME_REGULAR in reported:
            calm.append(minute)
        elif not calm:
            assert flag(redis) == b"2"
    assert len(calm) == 1
    assert 20 + 3 < calm[0] < 70
    assert flag(redis) is None


def test_a_rising_post_above_the_low_mark_stays_rising(redis: Redis) -> None:
    grow(redis, 20, 32, start=200)  # to 820
    assert flag(redis) == b"2"
    for minute in range(32, 200):
        assert BECAME_REGULAR not in settle(redis, 820, minute * 60.0)
    assert flag(redis) == b"2"
    assert BECAME_REGULAR in settle(redis, LOW - 1, 200 * 60.0)


def test_a_post_that_was_viral_can_be_rising_again(redis: Redis) -> None:
    settle(redis, VIRAL, 0.0)
    settle(redis, LOW - 100, 1.0)  # many reactions were removed
    assert flag(redis) is None
    assert len(grow(redis, 20, 9, start=600, at_min=1)) == 1


def test_a_lost_or_corrupt_rate_starts_again(redis: Redis) -> None:
    grow(redis, 20, 5, start=200)
    redis.delete(keys.post_rate(POST))
    assert grow(redis, 20, 3, start=300, at_min=5) == []
    redis.set(keys.post_rate(POST), "what?")
    assert settle(redis, 400, 600.0) == set()
    assert redis.get(keys.post_rate(POST)) != b"what?"


def test_a_clock_that_steps_back_is_no_growth(redis: Redis) -> None:
    settle(redis, 200, 1000.0)
    assert settle(redis, 200, 0.0) == set()
    assert settle(redis, 202, 1.0) == set()


@hypothesis(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(st.floats(0.001, 3_000), st.integers(-50, 200)), min_size=1, max_size=15))
def test_the_rate_follows_the_formula(redis: Redis, steps: list[tuple[float, int]]) -> None:
    """The rate is the sum of all growth so far; each step fades with its age."""
    redis.flushall()
    total = last = 200
    at = rate = 0.0
    for wait, step in [(0.0, 0), *steps]:
        total, at = min(VIRAL - 1, total + step), at + wait
        if total < WATCHED:
            return
        was = flag(redis) is not None
        reported = settle(redis, total, at)
        rate = rate * math.exp(-wait / WINDOW_S) + max(0, total - last) / WINDOW_S
        last = total
        written = redis.get(keys.post_rate(POST))
        assert isinstance(written, bytes)
        assert float(written.split(b"|")[0]) * 1e6 == pytest.approx(rate, rel=1e-4, abs=1e-9)
        ahead = rate * HORIZON_S * (2 if was else 1) - (VIRAL - total)
        if abs(ahead) > 0.01 and not (was and total >= LOW):
            assert (flag(redis) is not None) == (ahead > 0)
        assert (RISING in reported) == (flag(redis) is not None and not was)
        assert not (RISING in reported and LOAD_SAMPLE not in reported)
