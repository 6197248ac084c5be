"""Users read what they wrote, in every step of a drain and with any cache evicted."""

from __future__ import annotations

import itertools
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from reactions.api.client import Reactions
from reactions.drain.batch import Drained
from reactions.drain.persister import Persister
from tests.support.engine import Engine
from tests.support.reading import (
    PATIENCE_S,
    POST,
    SHARD,
    USER,
    cached,
    evict,
    feeds_of,
    make_regular,
    make_viral,
    react,
)
from tests.support.waiting import patience


def settled_tier(engine: Engine, tier: str) -> None:
    """Bring the post into a state before the test."""
    if tier == "regular":
        make_regular(engine, POST)
    elif tier == "viral":
        make_viral(engine, POST)
    elif tier == "counted":
        react(engine, POST, range(1, 4))
        engine.drain()


@pytest.mark.parametrize("tier", ["cold", "counted", "regular", "viral"])
def test_users_read_what_they_wrote_at_every_moment(small: Engine, tier: str) -> None:
    """The reaction is pending, claimed, committed or settled, with caches and without."""
    settled_tier(small, tier)
    client = small.reactions

    def check(expected: str | None, evicts: bool) -> None:
        for _ in range(2):
            if evicts:
                evict(small)
            assert client.reaction_of(USER, POST) == expected
            if evicts:
                evict(small)
            assert client.summaries([POST], USER)[0].reaction == expected

    for evicts, name in itertools.product((False, True), ("love", "wow", None, "sad", None)):
        react(small, POST, [USER], name)
        check(name, evicts)
        claims, _ = small.outbox.claim({SHARD: ""})
        check(name, evicts)
        batch = small.persister.record(claims, Drained())
        check(name, evicts)
        small.persister.settle(claims, batch, Drained())
        check(name, evicts)


@pytest.mark.parametrize("evicts", [False, True])
def test_a_reaction_behind_a_claim_is_the_one_that_is_read(small: Engine, evicts: bool) -> None:
    client = small.reactions
    names = itertools.cycle(["like", "love", None, "wow"])

    def write() -> None:
        name = next(names)
        react(small, POST, [USER], name)
        if evicts:
            evict(small)
        assert client.reaction_of(USER, POST) == name
        assert client.reaction_of(USER, POST) == name

    for _ in range(4):
        write()
        claims, _ = small.outbox.claim({SHARD: ""})
        write()
        batch = small.persister.record(claims, Drained())
        write()
        small.persister.settle(claims, batch, Drained())
        write()


def test_a_late_install_does_not_restore_an_older_reaction(engine: Engine) -> None:
    """A read queries the database before a drain, and installs the result after the drain."""
    react(engine, POST, [USER], "like")
    engine.drain()
    evict(engine)
    client = engine.reactions
    queries = feeds_of(client)._cold._for_caches
    summaries = queries.summaries
    queried = 0

    def late(*args: Any, **options: Any) -> Any:
        nonlocal queried
        queried += 1
        found = summaries(*args, **options)
        if queried == 1:
            react(engine, POST, [USER], "love")
            engine.drain()
        return found

    queries.summaries = late  # type: ignore[method-assign]
    client.summaries([POST], USER)  # may be the older reaction or the newer one
    assert queried == 1
    queries.summaries = summaries  # type: ignore[method-assign]
    assert client.reaction_of(USER, POST) == "love"
    assert client.counts(POST) == dict.fromkeys(engine.settings.reaction_types, 0) | {"love": 1}


def _drains(engine: Engine, over: threading.Event) -> None:
    persister = Persister(engine.client, engine.database, engine.settings)
    while not over.is_set():
        persister.drain([SHARD, SHARD + 1])


def _disturbs(engine: Engine, over: threading.Event) -> None:
    play = random.Random(3)  # noqa: S311 - not for secrecy
    while not over.is_set():
        if play.random() < 0.3:
            engine.loader.load([POST, POST + 1])
        elif gone := cached(engine):
            engine.client.delete(*play.sample(gone, k=min(3, len(gone))))


def _writes(client: Reactions, user: int) -> int:
    play = random.Random(user)  # noqa: S311 - not for secrecy
    for turn in range(120):
        post, name = play.choice([POST, POST + 1]), play.choice(["like", "love", None])
        client.react_many([(user, post, name)])
        for _ in range(play.randint(1, 3)):
            assert client.reaction_of(user, post) == name, f"turn {turn}"
        assert client.summaries([post], user)[0].reaction == name, f"turn {turn}"
    return user


def test_users_read_what_they_wrote_during_drains_loads_and_evictions(small: Engine) -> None:
    """Other threads drain, load and evict all the time."""
    over = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(_drains, small, over), pool.submit(_disturbs, small, over)]
        try:
            users = [pool.submit(_writes, small.reactions, user) for user in range(1, 5)]
            assert [future.result(patience(60)) for future in users] == [1, 2, 3, 4]
        finally:
            over.set()
        for other in others:
            other.result(PATIENCE_S)
    small.drain()
    assert small.verify().holds
