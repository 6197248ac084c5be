"""buckets.lua: the same arithmetic as reactions/buckets.py, for every id and every count."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from redis import Redis

from reactions.core import resources
from reactions.core.constants import MAX_ID
from reactions.redis.buckets import PRIME, bucket_of
from reactions.redis.keys import default_keys as keys
from tests.support.profiles import examples

MAX_TESTED_BUCKETS = 600  # more than a hash of 100,000 users has

ALL_COUNTS = f"""
{resources.lua("include/buckets")}
local reply = {{}}
for _, user in ipairs(ARGV) do
  for count = 1, {MAX_TESTED_BUCKETS} do
    reply[#reply + 1] = bucket_of(user, count)
  end
end
return reply
"""

NAMES = f"""
{resources.lua("include/buckets")}
local reply = {{}}
for bucket = 0, {MAX_TESTED_BUCKETS} do
  reply[#reply + 1] = bucket_key(KEYS[1], bucket)
end
return reply
"""

EDGES = sorted(
    {
        edge + step
        for edge in (
            1,
            PRIME,
            2 * PRIME,
            PRIME * PRIME,
            PRIME << 32,
            10**9,
            10**9 * PRIME,
            10**18,
            9 * 10**18,
            2**31,
            2**32,
            2**53,
            2**62,
            MAX_ID,
        )
        for step in range(-3, 4)
        if 1 <= edge + step <= MAX_ID
    }
)


def server_buckets(redis: Redis, users: list[int]) -> dict[int, list[int]]:
    """user -> the bucket among 1, 2, ... 600, as the server computes it."""
    reply = redis.eval(ALL_COUNTS, 0, *map(str, users))
    assert isinstance(reply, list)
    return {
        user: reply[at * MAX_TESTED_BUCKETS : (at + 1) * MAX_TESTED_BUCKETS]
        for at, user in enumerate(users)
    }


def python_buckets(user: int) -> list[int]:
    return [bucket_of(user, count) for count in range(1, MAX_TESTED_BUCKETS + 1)]


@hypothesis(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    users=st.lists(
        st.one_of(st.integers(1, MAX_ID), st.integers(2**53 - 10, 2**53 + 10)),
        min_size=1,
        max_size=12,
        unique=True,
    )
)
def test_the_server_and_python_agree(redis: Redis, users: list[int]) -> None:
    assert server_buckets(redis, users) == {user: python_buckets(user) for user in users}


def test_they_agree_at_the_limits_of_doubles_and_of_the_two_halves(redis: Redis) -> None:
    assert server_buckets(redis, EDGES) == {user: python_buckets(user) for user in EDGES}


def test_the_buckets_have_the_same_names(redis: Redis) -> None:
    first = keys.post_reactions(1042)
    names = redis.eval(NAMES, 1, first)
    assert isinstance(names, list)
    assert names == [
        keys.bucket(first, number).encode() for number in range(MAX_TESTED_BUCKETS + 1)
    ]


@pytest.mark.parametrize("user", ["nobody", "", "-5", "7" * 40, "\xff"])
def test_a_field_that_is_not_a_user_gets_a_bucket(redis: Redis, user: str) -> None:
    """A field that somebody else wrote must not break the scripts that read the hash."""
    reply = redis.eval(ALL_COUNTS, 0, user)
    assert isinstance(reply, list)
    assert all(0 <= bucket < count for count, bucket in enumerate(reply, start=1))
