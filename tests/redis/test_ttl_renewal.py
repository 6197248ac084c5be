"""Use renews TTLs."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from reactions.redis.keys import default_keys as keys
from tests.redis.lives import (
    COLD,
    JITTER,
    OF_USERS,
    POST,
    REGULAR,
    SUMMARY,
    USER,
    check,
    lives,
    of_post,
    prepare,
    react,
    read,
    shorten,
    with_lives,
    within,
)
from tests.support.engine import Engine, make_engine


def left_at(engine: Engine, left: float) -> dict[str, float]:
    """Let so much of the TTLs of the post be left, except that of its summary."""
    for name in set(of_post(engine)) - {SUMMARY}:
        engine.client.pexpire(f"{keys.post_prefix(POST % 100)}{POST}:{name}", int(left * 1000))
    return of_post(engine)


@pytest.mark.parametrize("tier", ["cold", "regular", "viral"])
def test_use_renews_a_ttl_that_is_nearly_over(timed: Engine, tier: str) -> None:
    """Reads and drains renew it. Reads leave a TTL alone until half of it is over.

    The summary answers alone, and only the read after its end renews the other keys.
    """
    life = prepare(timed, tier)
    names = set(of_post(timed))
    client = timed.reactions
    for user in (None, 8):
        shorten(timed, f"post:*:{POST}:*")
        read(timed, user)
        assert set(of_post(timed)) == names | {SUMMARY}
        check(of_post(timed), life)
    for left in (life * (1 - JITTER) - 50, life / 2 + 50):
        before = left_at(timed, left)
        client.summaries([POST])
        assert all(left <= before[name] for name, left in of_post(timed).items())
        read(timed)
        found = of_post(timed)
        assert within(found.pop(SUMMARY), life / 4)
        assert all(life / 4 < found[name] <= before[name] for name in names)
    shorten(timed, f"post:*:{POST}:*")
    client.summaries([POST])
    assert max(of_post(timed).values()) <= 50
    timed.client.delete(keys.post_summary(POST))
    client.counts(POST)
    check(of_post(timed), life)
    shorten(timed, f"post:*:{POST}:*")
    client.react(8, POST, "wow")
    timed.drain()
    found = of_post(timed)
    if tier == "cold":  # the second use has loaded its hash
        assert within(found.pop("reaction_counts"), COLD)
        life = REGULAR
    assert found
    check(found, life)


def react_and_drain(engine: Engine) -> None:
    engine.reactions.react(USER, 5, "like")
    engine.drain()


def test_use_renews_the_cache_of_a_user(timed: Engine) -> None:
    react(timed, POST, [USER])
    timed.drain()
    name = keys.user_reactions(USER)
    client = timed.reactions
    uses: list[Callable[[], object]] = [
        lambda: client.reaction_of(USER, 5),
        lambda: client.reaction_of(USER, 5),
        lambda: client.summaries([POST], USER),
        lambda: react_and_drain(timed),
    ]
    for use in uses:
        shorten(timed, name)
        use()
        check(lives(timed, name), OF_USERS, re.escape(name))


def test_a_feed_of_ready_summaries_renews_the_cache_of_a_user_now_and_then(timed: Engine) -> None:
    """Each process does so sixteen times within the TTL, so most of its feeds save a command."""
    react(timed, POST, [USER])
    timed.drain()
    name = keys.user_reactions(USER)
    timed.reactions.summaries([POST], USER)
    other = make_engine(timed.settings)
    for engine, renewed in ((timed, False), (other, True), (other, False)):
        assert timed.client.exists(keys.post_summary(POST))
        shorten(timed, name)
        engine.reactions.summaries([POST], USER)
        (left,) = lives(timed, name).values()
        assert within(left, OF_USERS) if renewed else left <= 50
    other.close()


def test_a_reaction_leaves_the_ttl_of_a_summary_alone(timed: Engine) -> None:
    """Otherwise a post that is often reacted to would keep it, and nothing would renew the rest."""
    prepare(timed, "regular")
    read(timed)
    shorten(timed, keys.post_summary(POST))
    before = timed.client.get(keys.post_summary(POST))
    timed.reactions.react(8, POST, "wow")
    assert timed.client.get(keys.post_summary(POST)) != before
    assert of_post(timed)[SUMMARY] <= 50


def test_a_read_renews_a_hash_whatever_ttl_the_counts_have(timed: Engine) -> None:
    """The settings may give counts that a read has cached a much longer TTL."""
    engine = make_engine(with_lives(timed.settings, cache_ttl_cold_s=100_000))
    prepare(engine, "regular")
    engine.client.expire(keys.post_reaction_counts(POST), 90_000)
    shorten(engine, f"post:*:{POST}:reactions*")
    engine.reactions.summaries([POST], USER)
    found = of_post(engine)
    engine.close()
    assert found["reactions"] > REGULAR / 2
    assert found["reactions:1"] > REGULAR / 2
