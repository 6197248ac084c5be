"""``Ttl``: a TTL by tier, with jitter."""

from __future__ import annotations

import re

from reactions.drain.persister import Persister
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox import Outbox
from tests.redis.lives import (
    COLD,
    HOT,
    JITTER,
    OF_USERS,
    POST,
    REGULAR,
    SUMMARY,
    SUMMARY_SHARE,
    VIRAL,
    VIRAL_FROM,
    check,
    lives,
    of_post,
    react,
    read,
    shorten,
    with_lives,
    within,
)
from tests.support.engine import Engine, make_engine


def test_each_tier_has_its_ttl(timed: Engine) -> None:
    react(timed, POST, range(1, 9))
    timed.drain()
    check(of_post(timed), COLD, "reaction_counts")
    read(timed, 98)
    check(of_post(timed), COLD, "reaction_counts", SUMMARY)
    timed.loader.load([POST])
    react(timed, POST, range(1, 6), "wow")
    timed.drain()
    check(of_post(timed), REGULAR, "reaction_counts", "reactions", "reactions:1")
    read(timed)
    check(of_post(timed), REGULAR, "reaction_counts", SUMMARY)
    react(timed, POST, range(1, VIRAL_FROM + 1), "love")
    timed.drain()
    names = "reaction_counts", "reactions", "reactions:1", "viral", "total_reactions", "recent"
    check(of_post(timed), VIRAL, *names, "uniques")
    react(timed, POST, [99])
    timed.drain()
    check(of_post(timed), VIRAL, *names, "uniques")
    read(timed)
    check(of_post(timed), VIRAL, *names, "uniques", SUMMARY)
    timed.reactions.react_many((user, POST, None) for user in range(1, 10))
    timed.drain()
    found = of_post(timed)
    assert "viral" not in found
    assert within(found["reaction_counts"], COLD)
    react(timed, POST, [98])
    shorten(timed, "user:*")
    timed.drain()
    check(of_post(timed), REGULAR, "reaction_counts", "reactions")
    check(lives(timed, "user:*"), OF_USERS, re.escape(keys.user_reactions(98)))


def test_a_hot_post_has_a_longer_ttl(timed: Engine) -> None:
    settings = timed.settings.model_copy(update={"hot_rate": 5.0})
    timed.persister = Persister(timed.client, timed.database, settings)
    timed.outbox = Outbox(timed.client, settings)
    for post, users in ((POST, 8), (POST + 100, 4)):
        react(timed, post, range(1, 4))
        timed.drain()
        assert timed.loader.load([post]) == 1
        react(timed, post, range(1, users + 1), "love")
        timed.drain()
    check(of_post(timed), HOT, "reaction_counts", "reactions")
    check(of_post(timed, POST + 100), REGULAR, "reaction_counts", "reactions")


def test_a_read_sets_the_same_ttls(timed: Engine) -> None:
    react(timed, POST, range(1, 4))
    react(timed, POST + 100, range(1, VIRAL_FROM + 5))
    timed.drain()
    for key in lives(timed, "post:*") | lives(timed, "user:*"):
        timed.client.delete(key)
    timed.reactions.summaries([POST, POST + 100, 5], 12_345)
    check(of_post(timed), COLD, "reaction_counts")
    check(of_post(timed, 5), COLD, "reaction_counts")
    check(of_post(timed, POST + 100), VIRAL, "reaction_counts", "viral")
    check(lives(timed, "user:*"), OF_USERS, r"user:.*:reactions")


def test_keys_that_are_written_together_do_not_expire_together(timed: Engine) -> None:
    """Their TTLs are spread over the whole jitter."""
    posts = range(1, 61)
    for post in posts:  # a drain writes to the users who were read
        timed.reactions.reaction_of(post, post)
    shorten(timed, "user:*")
    timed.reactions.react_many((post, post, "like") for post in posts)
    timed.drain()
    for found, life in (
        (lives(timed, "post:*:reaction_counts"), COLD),
        (lives(timed, "user:*:reactions"), OF_USERS),
    ):
        assert len(found) == len(posts)
        check(found, life)
        assert len({round(left) for left in found.values()}) > 20 or life != COLD
        assert max(found.values()) - min(found.values()) > life * JITTER / 2
    for key in lives(timed, "post:*:reaction_counts"):
        timed.client.delete(key)
    timed.reactions.summaries(posts)
    found = lives(timed, "post:*:reaction_counts")
    check(found, COLD)
    assert max(found.values()) - min(found.values()) > COLD * JITTER / 2
    timed.reactions.summaries(posts)
    found = lives(timed, "post:*:summary")
    assert len(found) == len(posts)
    check(found, COLD * SUMMARY_SHARE)
    assert max(found.values()) - min(found.values()) > COLD * SUMMARY_SHARE * JITTER / 2
    assert timed.loader.load(posts) > 10
    found = lives(timed, "post:*:reactions")
    check(found, REGULAR)
    assert max(found.values()) - min(found.values()) > REGULAR * JITTER / 2


def test_without_jitter_ttls_are_as_configured(timed: Engine) -> None:
    exact = make_engine(with_lives(timed.settings, cache_ttl_jitter=0.0))
    for user in range(1, 9):  # a drain writes to the users who were read
        exact.reactions.reaction_of(user, POST)
    shorten(exact, "user:*")
    react(exact, POST, range(1, 9))
    exact.drain()
    exact.reactions.summaries([POST], 99)
    cold = of_post(exact)
    exact.loader.load([POST])
    assert COLD - 10 <= cold["reaction_counts"] <= COLD
    assert COLD / 4 - 10 <= cold[SUMMARY] <= COLD / 4
    exact.reactions.summaries([POST], 99)
    found = of_post(exact)
    assert REGULAR / 4 - 10 <= found.pop(SUMMARY) <= REGULAR / 4
    assert "reaction_counts" in found
    assert all(REGULAR - 10 <= life <= REGULAR for life in found.values())
    of_users = lives(exact, "user:*")
    assert len(of_users) == 9
    assert all(OF_USERS - 10 <= life <= OF_USERS for life in of_users.values())
    exact.close()
