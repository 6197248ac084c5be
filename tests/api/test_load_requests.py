"""``LoadRequests``: which reads ask workers to fill a cache."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from reactions.api import load_requests
from reactions.api.client import Reactions
from reactions.api.relay import Relay
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine, make_engine
from tests.support.reading import (
    POST,
    USER,
    evict,
    feeds_of,
    make_regular,
    make_viral,
    react,
    traffic,
)
from tests.support.waiting import wait_until


@pytest.fixture
def patient(small: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """An engine whose relay gathers for 10 s, so that a test can see what waits in it."""
    monkeypatch.setattr(
        Relay, "request_load", lambda relay, post, _space: relay._wanted_of["post"].posts.add(post)
    )
    monkeypatch.setattr(
        Relay,
        "request_user_load",
        lambda relay, user, _space: relay._wanted_of["post"].users.add(user),
    )
    made = make_engine(small.settings.model_copy(update={"wake_interval_s": 10.0}))
    yield made
    made.close()


def with_many_reactions(engine: Engine, user: int) -> int:
    """Give a user the mark of somebody with more reactions than are cached."""
    engine.client.hset(keys.user_reactions(user), "0", "0")
    return user


def test_a_read_by_an_unknown_user_requests_nothing(patient: Engine) -> None:
    """Its own query caches the user's reactions, so no worker has to load anything."""
    client, relay = patient.reactions, patient.reactions._relay
    react(patient, POST, range(1, 4))
    react(patient, POST + 1, range(1, 4), "love")
    patient.drain()
    for _ in range(2):  # caches the counts, then the summaries
        client.summaries([POST, POST + 1])
    for user, reaction in ((2, "like"), (101, None)):
        for trips, queries in ((3, 1), (1, 0)):
            with traffic(client) as seen:
                assert client.summaries([POST, POST + 1], user)[0].reaction == reaction
            assert (seen.trips, len(seen.queries)) == (trips, queries)
    with traffic(client) as seen:
        assert client.reaction_of(3, POST + 1) == "love"
        assert client.reaction_of(3, POST) == "like"
    assert (seen.trips, len(seen.queries)) == (4, 1)
    assert (relay._wanted_of["post"].posts, relay._wanted_of["post"].users) == (set(), set())


def test_a_user_with_too_many_reactions_requests_the_load_of_a_post(patient: Engine) -> None:
    client, waiting = patient.reactions, patient.reactions._relay
    react(patient, POST, range(1, 4))
    patient.drain()
    evict(patient)
    client.summaries([POST], 101)
    assert (
        waiting._wanted_of["post"].posts == set()
    )  # the post is cold, so its counts are cached first
    client.summaries([POST], 101)
    assert waiting._wanted_of["post"].posts == set()  # Redis knew everything
    client.summaries([POST], with_many_reactions(patient, 102))
    assert waiting._wanted_of["post"].posts == {POST}
    waiting._wanted_of["post"].posts.clear()
    client.summaries([POST], with_many_reactions(patient, 103))
    client.reaction_of(with_many_reactions(patient, 104), POST)
    assert waiting._wanted_of["post"].posts == set()  # this process requested it a moment ago


def test_the_first_read_of_an_uncached_viral_post_requests_its_load(patient: Engine) -> None:
    client, waiting = patient.reactions, patient.reactions._relay
    for post in (POST, POST + 1, POST + 2):
        react(patient, post, range(1, 13 if post > POST else 4))
    patient.drain()
    patient.client.flushall()
    client.counts(POST + 1)
    assert waiting._wanted_of["post"].posts == {POST + 1}
    client.summaries([POST, POST + 1, POST + 2], 7)
    assert waiting._wanted_of["post"].posts == {POST + 1, POST + 2}


def test_a_lost_request_for_a_post_is_repeated(
    patient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_requests, "LOAD_AGAIN_S", 0.05)
    client = patient.reactions
    react(patient, POST, range(1, 4))
    patient.drain()
    readers = itertools.count(1_000)

    def requested() -> bool:
        client.reaction_of(with_many_reactions(patient, next(readers)), POST)
        return POST in client._relay._wanted_of["post"].posts

    assert requested()
    client._relay._wanted_of["post"].posts.clear()
    wait_until(requested, what="the next request for the post")


def test_a_post_with_all_its_caches_is_not_requested(patient: Engine) -> None:
    make_regular(patient, 1)
    make_viral(patient, 2)
    client = patient.reactions
    for reader in (101, 102, 103):
        client.summaries([1, 2], reader)
    assert client._relay._wanted_of["post"].posts == set()
    patient.client.delete(keys.post_recent(2), keys.post_reactions(2))
    client.summaries([1, 2], with_many_reactions(patient, 104))
    assert client._relay._wanted_of["post"].posts == {2}


def test_a_loaded_post_answers_readers_without_a_query(patient: Engine) -> None:
    """Reads request the load of a cold post; after the load they need no query."""
    client = patient.reactions
    react(patient, POST, range(1, 4))
    patient.drain()
    evict(patient)
    for reader in (101, 102):
        client.summaries([POST], with_many_reactions(patient, reader))
    assert patient.loader.load(sorted(client._relay._wanted_of["post"].posts)) == 1
    reader = with_many_reactions(patient, 103)
    with traffic(client) as seen:
        assert client.summaries([POST], reader)[0].total == 3
    assert (seen.trips, seen.queries) == (2, [])


def test_a_user_whose_hash_has_no_mark_is_requested_once(
    patient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the request is lost, a later read repeats it."""
    monkeypatch.setattr(load_requests, "LOAD_AGAIN_S", 0.2)
    make_regular(patient, POST)
    with Reactions(patient.settings) as client:
        waiting = client._relay._wanted_of["post"].users

        def requested() -> bool:
            client.summaries([POST], USER)
            return USER in waiting

        def requested_without_a_summary() -> bool:
            patient.client.delete(keys.post_summary(POST))
            return requested()

        client.counts(POST)
        assert waiting == set()
        patient.client.delete(keys.post_summary(POST))
        assert client.reaction_of(USER, POST) == "like"  # the complete hash of the post knows it
        assert waiting == {USER}
        waiting.clear()
        assert not requested_without_a_summary()  # this client requested it a moment ago
        wait_until(requested_without_a_summary, what="the next request for the user")
        waiting.clear()
        assert patient.user_loader.load([USER]) == 1
        feeds_of(client)._requests._users.clear()
        assert not requested_without_a_summary()
        patient.client.hset(
            keys.user_reactions(USER), "0", "0"
        )  # the mark of a user with too many reactions
        assert not requested_without_a_summary()
        patient.client.hdel(keys.user_reactions(USER), "0")
        assert requested_without_a_summary()
