"""Reads on real stores: what they answer, what they cost, and what they do without PostgreSQL."""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from redis.connection import AbstractConnection
from sqlalchemy import Engine as SqlEngine
from sqlalchemy import event, make_url, text

from reactions import buckets, keys, load, read, scripts, verify
from reactions.api import PAGE_MOST, SUMMARIES_MOST, Reactions
from reactions.database import Database
from reactions.embedded import Postgres
from reactions.errors import InvalidArgument, ReactionsUnavailable, ReadInterrupted
from reactions.model import Page, Reacted, Reactor, Row, Summary, Tier
from reactions.persist import Batch, Drained, Persister
from reactions.queries import Queries
from reactions.read import Reader
from reactions.settings import SAMPLE, Settings
from tests.conftest import Engine, execute_admin, make_engine, wait_until

POST = 1042
SHARD = 42
USER = 7
FEED = range(1, 51)

VIRAL = 10
SMALL_SAMPLE = 5
PATIENCE_S = 20.0


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """A post is viral from ten reactions on; samples of five; buckets of four."""
    for module in (scripts, load, verify):
        monkeypatch.setattr(module, "SAMPLE", SMALL_SAMPLE)
    monkeypatch.setattr(buckets, "FILL", 4)
    monkeypatch.setattr(buckets, "FULL", 8)
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": VIRAL}))
    yield made
    made.close()


def react(
    engine: Engine, post_id: int, users: Iterable[int], reaction: str | None = "like"
) -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in users)


def cached(engine: Engine) -> list[bytes]:
    found = list(engine.client.scan_iter(count=10_000))
    with engine.client.pipeline(transaction=False) as pipe:
        for key in found:
            pipe.pttl(key)
        lives = pipe.execute()
    return [key for key, life in zip(found, lives, strict=True) if life >= 0]


def evict(engine: Engine) -> None:
    """All that may go, goes."""
    if gone := cached(engine):
        engine.client.delete(*gone)


def make_regular(engine: Engine, post_id: int) -> None:
    """With its complete hash in several buckets."""
    react(engine, post_id, range(1, 9))
    engine.drain()
    assert engine.loader.load([post_id]) == 1


def make_viral(engine: Engine, post_id: int) -> None:
    react(engine, post_id, range(1, 16))
    engine.drain()
    assert engine.cache.snapshots([post_id])[0].sampled


def reader_of(client: Reactions) -> Reader:
    client._reads()
    assert client._reader is not None
    return client._reader[2]


def database_of(client: Reactions) -> SqlEngine:
    client._reads()
    assert client._reader is not None
    return client._reader[1].engine


@dataclass
class Traffic:
    """What one client sent while it was watched. A pipeline is one round trip."""

    trips: int = 0
    queries: list[str] = field(default_factory=list)


@contextmanager
def traffic(client: Reactions) -> Iterator[Traffic]:
    seen = Traffic()
    send: Callable[..., Any] = AbstractConnection.send_packed_command

    def sending(connection: Any, *args: Any, **options: Any) -> Any:
        seen.trips += 1
        return send(connection, *args, **options)

    def executing(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.queries.append(statement)

    engine = database_of(client)
    event.listen(engine, "before_cursor_execute", executing)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(AbstractConnection, "send_packed_command", sending)
            yield seen
    finally:
        event.remove(engine, "before_cursor_execute", executing)


@contextmanager
def without_database(settings: Settings, **update: float) -> Iterator[Reactions]:
    nowhere = Settings(database_url="postgresql://127.0.0.1:1/x").database_url
    with Reactions(settings.model_copy(update={"database_url": nowhere, **update})) as client:
        yield client


# -- summaries: answers ----------------------------------------------------------------------------


def test_a_summary_says_everything_of_each_tier(small: Engine) -> None:
    make_viral(small, 1)
    make_regular(small, 2)
    react(small, 3, [1, 2], "love")
    react(small, 3, [3], "wow")
    react(small, 5, range(1, 12))
    small.reactions.delete_post(5)
    none = dict.fromkeys(small.settings.reaction_types, 0)
    expected = [
        Summary(1, none | {"like": 15}, 15, Tier.VIRAL, "like"),
        Summary(2, none | {"like": 8}, 8, Tier.REGULAR, "like"),
        Summary(3, none | {"love": 2, "wow": 1}, 3, Tier.REGULAR, "love"),
        Summary(4, none, 0, Tier.REGULAR, None),
        Summary(5, none, 0, Tier.DELETED, None),
    ]
    for _ in range(2):
        assert small.reactions.summaries(range(1, 6), 1) == expected
        assert [s.reaction for s in small.reactions.summaries(range(1, 6))] == [None] * 5
        assert [s.counts for s in small.reactions.summaries(range(1, 6))] == [
            s.counts for s in expected
        ]
    assert [small.reactions.counts(post) for post in range(1, 6)] == [s.counts for s in expected]


def test_the_answer_has_the_order_and_the_duplicates_of_the_question(engine: Engine) -> None:
    for post in (1, 2, 3):
        react(engine, post, range(1, post + 1))
    asked = [3, 1, 3, 2, 77, 3, 1]
    for _ in range(2):
        found = engine.reactions.summaries((post for post in asked), 1)
        assert [(s.post_id, s.total) for s in found] == [
            (post, {77: 0}.get(post, post)) for post in asked
        ]
        assert [s.reaction for s in found] == [None if p == 77 else "like" for p in asked]
    assert engine.reactions.summaries([]) == []


def test_a_post_is_viral_by_its_counts_also_before_it_is_drained(small: Engine) -> None:
    react(small, POST, range(1, VIRAL))
    assert small.reactions.summaries([POST])[0].tier is Tier.REGULAR
    react(small, POST, [VIRAL])
    assert small.reactions.summaries([POST])[0].tier is Tier.VIRAL
    small.drain()
    react(small, POST, [1], None)
    assert small.reactions.summaries([POST])[0].tier is Tier.VIRAL  # by the flag
    react(small, POST, [2, 3, 4], None)
    small.drain()
    assert small.reactions.summaries([POST])[0].tier is Tier.REGULAR


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([0],), "post_ids"),
        (([1, "2"],), "post_ids"),
        (([True],), "post_ids"),
        (("12",), "post_ids"),
        ((5,), "post_ids"),
        ((None,), "post_ids"),
        ((range(1, SUMMARIES_MOST + 2),), "post_ids"),
        ((itertools.count(1),), "post_ids"),
        (([1], 0), "user_id"),
        (([1], -1), "user_id"),
        (([1], True), "user_id"),
        (([1], "1"), "user_id"),
        (([1], 2**63), "user_id"),
    ],
)
def test_bad_arguments_of_a_feed_are_refused(arguments: tuple[Any, ...], name: str) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        with pytest.raises(InvalidArgument) as error:
            nowhere.summaries(*arguments)
        assert error.value.argument == name


def test_as_many_posts_as_allowed(engine: Engine) -> None:
    posts = range(1, SUMMARIES_MOST + 1)
    engine.reactions.react_many((USER, post, "wow") for post in posts)
    found = engine.reactions.summaries(posts, USER)
    assert [(s.post_id, s.total, s.reaction) for s in found] == [(p, 1, "wow") for p in posts]


# -- summaries: costs ------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [None, USER])
def test_a_warm_feed_is_one_round_trip_and_no_query(small: Engine, user: int | None) -> None:
    """Of all tiers together, whether or not the user has reacted."""
    for post in FEED:
        react(small, post, range(1, 3 + 20 * (post % 7 == 0)))
    small.reactions.react_many((USER, post, "love") for post in FEED if post % 2)
    small.drain()
    small.loader.load([post for post in FEED if post % 3 == 0])
    for post in (5, 6, 7):
        small.reactions.delete_post(post)
    client = small.reactions
    first = client.summaries(FEED, user)
    with traffic(client) as seen:
        assert client.summaries(FEED, user) == first
    assert (seen.trips, seen.queries) == (1, [])
    tiers = {tier: sum(s.tier is tier for s in first) for tier in Tier}
    assert tiers == {Tier.REGULAR: 41, Tier.VIRAL: 6, Tier.DELETED: 3}
    if user:
        mine = [s.post_id for s in first if s.reaction == "love"]
        assert mine == [post for post in FEED if post % 2 and post not in (5, 7)]


def test_a_cold_feed_is_two_queries_and_three_round_trips(engine: Engine) -> None:
    for post in FEED:
        react(engine, post, range(1, 4))
    engine.reactions.react_many((USER, post, "love") for post in FEED if post % 2)
    engine.drain()
    evict(engine)
    client = engine.reactions
    client.counts(99_999)  # the connections and the scripts
    with traffic(client) as seen:
        found = client.summaries(FEED, USER)
    assert len(seen.queries) == 2
    assert seen.trips <= 3
    assert [(s.total, s.reaction) for s in found] == [
        (4, "love") if post % 2 else (3, None) for post in FEED
    ]
    with traffic(client) as seen:
        assert client.summaries(FEED, USER) == found  # negative answers are remembered too
    assert (seen.trips, seen.queries) == (1, [])


def test_a_cold_feed_of_nobody_is_one_query(engine: Engine) -> None:
    client = engine.reactions
    client.counts(99_999)
    with traffic(client) as seen:
        client.summaries(FEED)
    assert len(seen.queries) == 1
    assert seen.trips <= 3


def test_a_feed_that_is_cold_in_part_asks_for_that_part(engine: Engine) -> None:
    for post in FEED:
        react(engine, post, range(1, 4))
    engine.drain()
    client = engine.reactions
    client.summaries(FEED[:40], USER)
    with traffic(client) as seen:
        client.summaries(FEED, USER)
    assert len(seen.queries) == 1  # the counts are there since the drain
    evict(engine)
    client.summaries(FEED[:40], USER)
    with traffic(client) as seen:
        assert [s.total for s in client.summaries(FEED, USER)] == [3] * 50
    assert len(seen.queries) == 2
    assert seen.trips <= 3


def test_a_complete_hash_knows_who_did_not_react(small: Engine) -> None:
    make_regular(small, POST)
    client = small.reactions
    client.counts(POST)
    with traffic(client) as seen:
        assert client.reaction_of(123_456, POST) is None
        assert client.summaries([POST], 123_457)[0].reaction is None
    assert (seen.trips, seen.queries) == (2, [])


def test_none_is_an_answer_that_is_cached(engine: Engine) -> None:
    client = engine.reactions
    assert client.reaction_of(USER, POST) is None
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) is None
    assert (seen.trips, seen.queries) == (1, [])
    assert engine.client.hgetall(keys.user_reactions(USER)) == {b"1042": b"0"}


def test_a_reaction_is_one_query_and_three_round_trips_where_redis_does_not_know(
    engine: Engine,
) -> None:
    react(engine, POST, [USER], "wow")
    engine.drain()
    evict(engine)
    client = engine.reactions
    client.counts(99_999)
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) == "wow"
    assert len(seen.queries) == 1
    assert seen.trips <= 3
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) == "wow"
    assert (seen.trips, seen.queries) == (1, [])


def test_what_a_drain_wrote_is_remembered_of_its_users(engine: Engine) -> None:
    """No reader ever has to ask for it."""
    react(engine, POST, [USER], "wow")
    react(engine, POST, [USER + 1], None)
    engine.drain()
    client = engine.reactions
    with traffic(client) as seen:
        assert client.reaction_of(USER, POST) == "wow"
        assert client.reaction_of(USER + 1, POST) is None
    assert (seen.trips, seen.queries) == (2, [])


def test_concurrent_misses_of_a_cold_post_are_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 6))
    engine.drain()
    evict(engine)
    client = engine.reactions
    flying = reader_of(client)._flight._flying
    counts: list[str] = []

    def executing(_: Any, __: Any, statement: str, *___: Any) -> None:
        """Not before all others have joined."""
        counts.append(statement)
        waiters = flying[POST]._condition._waiters  # type: ignore[attr-defined]
        wait_until(lambda: len(waiters) == 15, what="fifteen threads to join the first")

    event.listen(database_of(client), "before_cursor_execute", executing)
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(client.counts, POST) for _ in range(16)]
        assert [future.result(PATIENCE_S)["like"] for future in found] == [5] * 16
    assert len(counts) == 1
    assert flying == {}


# -- what reads ask for ----------------------------------------------------------------------------


@pytest.fixture
def patient(small: Engine) -> Iterator[Engine]:
    """Its relay gathers for so long that a test can see what waits in it."""
    made = make_engine(small.settings.model_copy(update={"wake_interval_s": 10.0}))
    yield made
    made.close()


def test_a_post_that_is_read_again_is_asked_to_be_loaded(patient: Engine) -> None:
    client, waiting = patient.reactions, patient.reactions._relay
    react(patient, POST, range(1, 4))
    patient.drain()
    evict(patient)
    client.summaries([POST], 101)
    assert waiting._posts == set()  # once is not often
    client.summaries([POST], 101)
    assert waiting._posts == set()  # Redis knew everything
    client.summaries([POST], 102)
    assert waiting._posts == {POST}
    waiting._posts.clear()
    client.summaries([POST], 103)
    client.reaction_of(104, POST)
    assert waiting._posts == set()  # it was asked for a moment ago


def test_a_post_is_asked_for_again_when_that_was_lost(
    patient: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "LOAD_AGAIN_S", 0.05)
    client = patient.reactions
    react(patient, POST, range(1, 4))
    patient.drain()
    readers = itertools.count(1_000)

    def asked() -> bool:
        client.reaction_of(next(readers), POST)
        return POST in client._relay._posts

    assert asked()
    client._relay._posts.clear()
    wait_until(asked, what="the post to be asked for again")


def test_what_has_its_caches_is_not_asked_for(patient: Engine) -> None:
    make_regular(patient, 1)
    make_viral(patient, 2)
    client = patient.reactions
    for reader in (101, 102, 103):
        client.summaries([1, 2], reader)
    assert client._relay._posts == set()
    patient.client.delete(keys.post_recent(2), keys.post_reactions(2))
    client.summaries([1, 2], 104)
    assert client._relay._posts == {2}


def test_a_loaded_post_answers_readers_without_a_query(patient: Engine) -> None:
    """The way from a cold post to one that is read for nothing."""
    client = patient.reactions
    react(patient, POST, range(1, 4))
    patient.drain()
    evict(patient)
    for reader in (101, 102):
        client.summaries([POST], reader)
    assert patient.loader.load(sorted(client._relay._posts)) == 1
    with traffic(client) as seen:
        assert client.summaries([POST], 103)[0].total == 3
    assert (seen.trips, seen.queries) == (1, [])


def test_a_post_that_did_not_fit_into_a_load_fits_into_the_next(small: Engine) -> None:
    """A load takes as many rows as a viral post has at least: here ten."""
    for post in (1, 2):
        react(small, post, range(1, 9))
    small.drain()
    assert small.loader.load([1, 2]) == 1
    assert small.loader.load([2]) == 1


# -- PostgreSQL is down ----------------------------------------------------------------------------


def test_without_postgresql_a_feed_is_answered_in_part(small: Engine) -> None:
    make_regular(small, 1)
    make_viral(small, 2)
    react(small, 4, range(1, 4))
    small.drain()
    known = {s.post_id: s for s in small.reactions.summaries([1, 2], 101)}
    small.client.delete(keys.post_reaction_counts(4))
    with without_database(small.settings) as client:
        assert client.summaries([2, 1], 101) == [known[2], known[1]]
        began = time.monotonic()
        with pytest.raises(ReadInterrupted, match="3 of 6 posts are known") as error:
            client.summaries([1, 4, 2, 1, 3, 4], 101)
        assert time.monotonic() - began < 1.5
        assert error.value.store == "postgresql"
        assert error.value.summaries == (known[1], None, known[2], known[1], None, None)


def test_counts_are_answered_where_only_the_user_is_unknown(small: Engine) -> None:
    """The counts are cached, the user is not: with the user no summary is whole."""
    react(small, POST, range(1, 4))
    small.drain()
    with without_database(small.settings) as client:
        assert client.summaries([POST])[0].total == 3
        assert client.counts(POST)["like"] == 3
        assert client.summaries([POST], 2)[0].reaction == "like"
        with pytest.raises(ReadInterrupted) as error:
            client.summaries([POST], 101)
        assert error.value.summaries == (None,)
        with pytest.raises(ReactionsUnavailable) as unknown:
            client.reaction_of(101, POST)
        assert unknown.value.store == "postgresql"
        client.react(101, POST, "wow")
        assert client.reaction_of(101, POST) == "wow"


def attempts(client: Reactions) -> list[float]:
    """When connections to the database were tried, from now on."""
    tried: list[float] = []
    event.listen(database_of(client), "do_connect", lambda *_: tried.append(time.monotonic()))
    return tried


def test_a_database_that_has_just_failed_is_left_alone(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "DOWN_S", 30.0)
    with without_database(small.settings) as client:
        tried = attempts(client)
        with pytest.raises(ReadInterrupted):
            client.summaries([1], 5)
        first = len(tried)
        assert first >= 1
        calls: list[Callable[[], object]] = [
            lambda: client.counts(2),
            lambda: client.summaries([3], 5),
            lambda: client.reaction_of(5, 6),
            lambda: client.reactors(1),
            lambda: client.recent(1),
            lambda: client.history(5),
            lambda: client.uniques(1),
        ]
        for call in calls:
            with pytest.raises(ReactionsUnavailable, match="a moment ago") as error:
                call()
            assert error.value.store == "postgresql"
        assert len(tried) == first


def test_a_database_that_failed_is_tried_again(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "DOWN_S", 0.05)
    with without_database(small.settings) as client:
        tried = attempts(client)
        with pytest.raises(ReactionsUnavailable):
            client.counts(1)
        before = len(tried)

        def again() -> bool:
            with pytest.raises(ReactionsUnavailable):
                client.counts(1)
            return len(tried) > before

        wait_until(again, what="another try")


LISTS: dict[str, Callable[[Reactions], object]] = {
    "reactors": lambda client: client.reactors(1),
    "recent": lambda client: client.recent(1),
    "history": lambda client: client.history(5),
    "uniques": lambda client: client.uniques(1),
}


def test_a_list_that_found_no_database_leaves_it_alone_too(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of them waits for it anew."""
    monkeypatch.setattr(read, "DOWN_S", 30.0)
    anew = []
    for name, call in LISTS.items():
        with without_database(small.settings) as client:
            tried = attempts(client)
            with pytest.raises(ReactionsUnavailable):
                call(client)
            first = len(tried)
            assert first >= 1
            with pytest.raises(ReactionsUnavailable):
                call(client)
            if len(tried) > first:
                anew.append(name)
    assert anew == []


def test_without_postgresql_a_viral_post_is_whole(small: Engine) -> None:
    make_viral(small, POST)
    with without_database(small.settings) as client:
        assert client.summaries([POST])[0].total == 15
        assert client.uniques(POST) == 15
        assert [r.user_id for r in client.recent(POST, 3)] == [15, 14, 13]


class Wire:
    """Carries bytes to PostgreSQL, until it is cut: then nobody answers, and nothing closes."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url)
        folder = url.query["host"]
        assert isinstance(folder, str)
        self._socket = str(Path(folder) / ".s.PGSQL.5432")
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.cut = False
        port = self._server.getsockname()[1]
        self.url = url.set(host="127.0.0.1", port=port, query={}).render_as_string(False)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._socket)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not self.cut:
                    target.sendall(data)

    def close(self) -> None:
        for end in (self._server, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.parametrize("call", ["counts", "history"])
def test_a_database_that_falls_silent_is_not_waited_for(settings: Settings, call: str) -> None:
    """Its server is frozen, or its host is gone: nothing comes back, not even an error."""
    wire = Wire(settings.database_url.get_secret_value())
    url = Settings(database_url=wire.url.replace("+psycopg2", "")).database_url
    update = {"database_url": url, "read_timeout_s": 0.3}
    with Reactions(settings.model_copy(update=update)) as client:
        calls: dict[str, Callable[[], object]] = {
            "counts": lambda: client.counts(POST),
            "history": lambda: client.history(USER),
        }
        client.counts(99_999)  # a connection in the pool
        wire.cut = True
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(calls[call])
            try:
                failure = found.exception(4.0)
            except TimeoutError:
                failure = None
            finally:
                wire.close()  # whoever waits, need not wait any longer
        assert isinstance(failure, ReactionsUnavailable), f"{call} did not return within 4 s"


# -- users read what they wrote --------------------------------------------------------------------


def settled_tier(engine: Engine, tier: str) -> None:
    """A post as reads and writes find it."""
    if tier == "regular":
        make_regular(engine, POST)
    elif tier == "viral":
        make_viral(engine, POST)
    elif tier == "counted":
        react(engine, POST, range(1, 4))
        engine.drain()


@pytest.mark.parametrize("tier", ["cold", "counted", "regular", "viral"])
def test_users_read_what_they_wrote_at_every_moment(small: Engine, tier: str) -> None:
    """Pending, claimed, committed, settled; also where every cache has just gone."""
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
def test_a_reaction_that_comes_behind_a_claim_is_the_one_that_is_read(
    small: Engine, evicts: bool
) -> None:
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


def test_a_reader_who_comes_late_does_not_bring_back_what_was(engine: Engine) -> None:
    """It read the database before a drain did its work, and caches what it read after it."""
    react(engine, POST, [USER], "like")
    engine.drain()
    evict(engine)
    client = engine.reactions
    queries = reader_of(client)._queries
    summaries = queries.summaries
    asked = 0

    def late(*args: Any) -> Any:
        nonlocal asked
        asked += 1
        found = summaries(*args)
        if asked == 1:
            react(engine, POST, [USER], "love")
            engine.drain()
        return found

    queries.summaries = late  # type: ignore[method-assign, assignment]
    client.summaries([POST], USER)  # as it was, or as it is
    assert asked == 1
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


def test_users_read_what_they_wrote_while_everything_happens(small: Engine) -> None:
    """Drains, loads and evictions all the time, in other threads."""
    over = threading.Event()
    with ThreadPoolExecutor(8) as pool:
        others = [pool.submit(_drains, small, over), pool.submit(_disturbs, small, over)]
        try:
            users = [pool.submit(_writes, small.reactions, user) for user in range(1, 5)]
            assert [future.result(60) for future in users] == [1, 2, 3, 4]
        finally:
            over.set()
        for other in others:
            other.result(PATIENCE_S)
    small.drain()
    assert small.verify().holds


# -- reactors --------------------------------------------------------------------------------------


def walk(
    client: Reactions, post_id: int, reaction: str | None = None, limit: int = 3
) -> list[Reactor]:
    found: list[Reactor] = []
    cursor = None
    while True:
        page = client.reactors(post_id, reaction, limit, cursor)
        assert len(page.items) <= limit
        assert page.cursor is None or len(page.items) == limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


@pytest.mark.parametrize("state", ["pending", "claimed", "recorded", "settled", "mixed", "evicted"])
def test_reactors_are_the_newest_first_wherever_they_are(small: Engine, state: str) -> None:
    client = small.reactions
    names = ["like", "love", "wow"]
    expected: list[Reactor] = []
    for user in range(1, 18):
        client.react(user, POST, names[user % 3])
        expected.insert(0, Reactor(user, names[user % 3]))
        if state == "mixed" and user == 9:
            small.drain()
            client.react(4, POST, "sad")
            client.unreact(5, POST)
            expected = [Reactor(4, "sad"), *(r for r in expected if r.user_id not in (4, 5))]
    if state not in ("pending", "mixed"):
        claims, _ = small.outbox.claim({SHARD: ""})
        if state != "claimed":
            batch = small.persister.record(claims, Drained())
            if state != "recorded":
                small.persister.settle(claims, batch, Drained())
    if state == "evicted":
        evict(small)
    for limit in (1, 2, 5, 16, 17, 18, PAGE_MOST):
        assert walk(client, POST, None, limit) == expected
    for name in (*names, "sad", "angry"):
        assert walk(client, POST, name) == [r for r in expected if r.reaction == name]


def test_a_page_of_reactors_is_three_round_trips_and_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 21))
    engine.drain()
    react(engine, POST, range(21, 24))
    client = engine.reactions
    first = client.reactors(POST, limit=5)
    for cursor in (None, first.cursor):
        with traffic(client) as seen:
            client.reactors(POST, "like", 5) if cursor is None else client.reactors(
                POST, None, 5, cursor
            )
        assert len(seen.queries) == 1
        assert seen.trips <= 3


def test_nobody_reacted(engine: Engine) -> None:
    assert engine.reactions.reactors(POST) == Page((), None)
    react(engine, POST, [1])
    react(engine, POST, [1], None)
    for _ in range(2):
        assert engine.reactions.reactors(POST) == Page((), None)
        assert engine.reactions.recent(POST) == []
        engine.drain()


def test_the_last_page_says_so(engine: Engine) -> None:
    react(engine, POST, range(1, 5))
    first = engine.reactions.reactors(POST, limit=2)
    second = engine.reactions.reactors(POST, limit=2, cursor=first.cursor)
    assert [len(first.items), len(second.items)] == [2, 2]
    assert (first.cursor is None, second.cursor) == (False, None)


class OneDrain:
    """One drain at a time, a step at each call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._claims: Any = None
        self._batch: Batch | None = None

    def step(self) -> None:
        persister = self._engine.persister
        if self._claims is None:
            self._claims = self._engine.outbox.claim({SHARD: ""})[0] or None
        elif self._batch is None:
            self._batch = persister.record(self._claims, Drained())
        else:
            persister.settle(self._claims, self._batch, Drained())
            self._claims = self._batch = None


KINDS = ["like", "like", "love"]


def _arrive(client: Reactions, post: int, play: random.Random, drain: OneDrain) -> list[Reactor]:
    """Forty users react; the first twenty will stay, and are returned, newest first."""
    stay: list[Reactor] = []
    for user in play.sample(range(1, 41), 40):
        reaction = play.choice(KINDS)
        client.react(user, post, reaction)
        if user <= 20:
            stay.insert(0, Reactor(user, reaction))
        if play.random() < 0.15:
            drain.step()
    return stay


def _stir(engine: Engine, post: int, play: random.Random, drain: OneDrain) -> None:
    """Others come, go and change their minds; a drain goes on; caches vanish."""
    for _ in range(play.randint(0, 8)):
        react(engine, post, [play.randint(21, 60)], play.choice([*KINDS, None, None]))
    for _ in range(play.randint(0, 2)):
        drain.step()
    if play.random() < 0.2:
        evict(engine)


@pytest.mark.parametrize("kind", [None, "like"])
def test_pages_are_stable_while_others_react_and_leave(small: Engine, kind: str | None) -> None:
    """Who stays is on exactly one page, in order; nobody is on two."""
    client = small.reactions
    play = random.Random(11)  # noqa: S311 - not for secrecy
    for turn in range(25):
        post = 100 * (turn + 1) + SHARD
        drain = OneDrain(small)
        stay = _arrive(client, post, play, drain)
        page = client.reactors(post, kind, play.randint(1, 9))
        seen = list(page.items)
        while page.cursor is not None:
            _stir(small, post, play, drain)
            page = client.reactors(post, kind, play.randint(1, 9), page.cursor)
            seen += page.items
        users = [reactor.user_id for reactor in seen]
        assert len(users) == len(set(users))
        assert all(kind in (None, reactor.reaction) for reactor in seen)
        assert [r for r in seen if r.user_id <= 20] == [
            r for r in stay if kind in (None, r.reaction)
        ]


def test_of_a_post_with_very_much_pending_the_list_is_a_batch_behind(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read, "OVERLAY_MOST", 10)
    react(engine, POST, range(1, 6))
    engine.drain()
    react(engine, POST, range(6, 16))
    assert [r.user_id for r in walk(engine.reactions, POST)] == list(range(15, 0, -1))
    react(engine, POST, [16])
    assert [r.user_id for r in walk(engine.reactions, POST)] == [5, 4, 3, 2, 1]
    engine.drain()
    assert [r.user_id for r in walk(engine.reactions, POST)] == list(range(16, 0, -1))


def test_nobody_is_on_two_pages_when_more_is_pending_than_is_taken_in(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second must not bring back who was on the first."""
    monkeypatch.setattr(read, "OVERLAY_MOST", 10)
    react(engine, POST, range(1, 6))
    engine.drain()
    react(engine, POST, [1], "love")
    page = engine.reactions.reactors(POST, limit=2)
    seen = list(page.items)
    react(engine, POST, range(100, 115))
    while page.cursor is not None:
        page = engine.reactions.reactors(POST, limit=2, cursor=page.cursor)
        seen += page.items
    assert [reactor.user_id for reactor in seen] == [1, 5, 4, 3, 2]


BAD_LIMITS: list[Any] = [0, -1, PAGE_MOST + 1, True, None, "5", 5.0, 10**30]


@pytest.mark.parametrize("bad", BAD_LIMITS, ids=repr)
def test_a_bad_limit_is_refused(bad: Any) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        calls: list[Callable[[], object]] = [
            lambda: nowhere.reactors(1, limit=bad),
            lambda: nowhere.history(1, limit=bad),
            lambda: nowhere.recent(1, limit=SAMPLE + 1 if bad == PAGE_MOST + 1 else bad),
        ]
        for call in calls:
            with pytest.raises(InvalidArgument, match="an integer from 1 to") as error:
                call()
            assert error.value.argument == "limit"


def test_a_bad_cursor_is_refused(engine: Engine) -> None:
    client = engine.reactions
    react(engine, POST, range(1, 9))
    client.react_many((USER, post, "like") for post in FEED)
    engine.drain()
    everyone = client.reactors(POST, limit=2).cursor
    by_type = client.reactors(POST, "like", limit=2).cursor
    mine = client.history(USER, limit=2).cursor
    assert everyone is not None
    assert by_type is not None
    assert mine is not None
    reactors: list[Any] = ["", "x", by_type, mine, everyone[:-3], everyone.swapcase(), 5, b"x"]
    history: list[Any] = ["", everyone, by_type, mine[1:], client.history(2, 1).cursor or "y"]
    for bad in reactors:
        with pytest.raises(InvalidArgument) as error:
            client.reactors(POST, cursor=bad)
        assert error.value.argument == "cursor"
    for bad in history:
        with pytest.raises(InvalidArgument) as error:
            client.history(USER, cursor=bad)
        assert error.value.argument == "cursor"
    for call in (
        lambda: client.reactors(POST + 100, cursor=everyone),
        lambda: client.reactors(POST, "love", cursor=by_type),
        lambda: client.history(USER + 1, cursor=mine),
    ):
        with pytest.raises(InvalidArgument) as error:
            call()
        assert error.value.argument == "cursor"
    assert client.reactors(POST, limit=2, cursor=everyone).items[0].user_id == 6


@pytest.mark.parametrize("bad", ["LIKE", "", "remove", 1, True, b"like"])
def test_a_bad_type_of_a_list_is_refused(bad: Any) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        with pytest.raises(InvalidArgument) as error:
            nowhere.reactors(1, bad)
        assert error.value.argument == "reaction"


@pytest.mark.parametrize("bad", [0, -1, 2**63, True, "1", None, 1.0])
def test_bad_ids_of_lists_are_refused(bad: Any) -> None:
    with Reactions(Settings(redis_url="redis://127.0.0.1:1")) as nowhere:
        calls: list[tuple[str, Callable[[], object]]] = [
            ("post_id", lambda: nowhere.reactors(bad)),
            ("post_id", lambda: nowhere.recent(bad)),
            ("post_id", lambda: nowhere.uniques(bad)),
            ("user_id", lambda: nowhere.history(bad)),
            ("user_id", lambda: nowhere.reaction_of(bad, 1)),
            ("post_id", lambda: nowhere.reaction_of(1, bad)),
            ("post_id", lambda: nowhere.delete_post(bad)),
            ("user_id", lambda: nowhere.forget_user(bad)),
        ]
        for argument, call in calls:
            with pytest.raises(InvalidArgument) as error:
                call()
            assert error.value.argument == argument


# -- recent ----------------------------------------------------------------------------------------


def test_recent_of_a_viral_post_is_one_round_trip(small: Engine) -> None:
    make_viral(small, POST)
    client = small.reactions
    client.react(3, POST, "love")
    client.counts(POST)
    with traffic(client) as seen:
        assert client.recent(POST, 4) == [
            Reactor(3, "love"),
            Reactor(15, "like"),
            Reactor(14, "like"),
            Reactor(13, "like"),
        ]
    assert (seen.trips, seen.queries) == (1, [])


def test_recent_of_a_regular_post_is_one_query(engine: Engine) -> None:
    react(engine, POST, range(1, 8))
    engine.drain()
    react(engine, POST, [2], "love")
    client = engine.reactions
    client.counts(POST)
    with traffic(client) as seen:
        assert [r.user_id for r in client.recent(POST, 3)] == [2, 7, 6]
    assert len(seen.queries) == 1
    assert seen.trips <= 4
    assert [r.user_id for r in client.recent(POST)] == [2, 7, 6, 5, 4, 3, 1]


@pytest.mark.parametrize("lost", ["recent", "reactions", "reactions:1"])
def test_recent_of_a_sample_that_lost_a_part_comes_from_the_database(
    small: Engine, lost: str
) -> None:
    make_viral(small, POST)
    small.reactions.react(2, POST, "wow")
    assert small.client.delete(f"post:{{{SHARD}}}:{POST}:{lost}") == 1
    assert [r.user_id for r in small.reactions.recent(POST, 4)] == [2, 15, 14, 13]


def test_recent_is_not_short_after_some_of_the_sample_left(small: Engine) -> None:
    """The sample is; the next newest are in the database."""
    make_viral(small, POST)
    react(small, POST, [15, 13], None)
    expected = [14, 12, 11, 10, 9]
    assert [r.user_id for r in small.reactions.recent(POST, SMALL_SAMPLE)] == expected
    small.drain()
    assert [r.user_id for r in small.reactions.recent(POST, SMALL_SAMPLE)] == expected


def test_recent_of_more_than_a_sample(small: Engine) -> None:
    """A limit may be larger than what is cached; here it is by the small sample."""
    make_viral(small, POST)
    newest = [r.user_id for r in small.reactions.recent(POST, 12)]
    assert newest == list(range(15, 15 - len(newest), -1))
    assert len(newest) in (SMALL_SAMPLE, 12)


def test_recent_leaves_out_types_that_are_not_configured_any_more(small: Engine) -> None:
    react(small, POST, range(1, 8))
    react(small, POST, [8, 9, 10], "angry")
    react(small, POST, [11, 12])
    small.drain()
    types = {name: code for name, code in small.settings.reaction_types.items() if name != "angry"}
    with Reactions(small.settings.model_copy(update={"reaction_types": types})) as client:
        assert {r.reaction for r in client.recent(POST, 5)} == {"like"}
        assert {r.reaction for r in client.reactors(POST).items} == {"like"}
        assert client.reaction_of(9, POST) is None
        assert client.summaries([POST], 9)[0].counts == dict.fromkeys(types, 0) | {"like": 9}


# -- history ---------------------------------------------------------------------------------------


def walk_history(client: Reactions, user_id: int, limit: int) -> list[Reacted]:
    found: list[Reacted] = []
    cursor = None
    while True:
        page = client.history(user_id, limit, cursor)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return found


def test_history_is_what_a_user_reacted_on_newest_first(engine: Engine) -> None:
    client = engine.reactions
    expected: list[Reacted] = []
    for post in range(1, 61):
        version = client.react(USER, post, "like").version
        assert version is not None
        expected.insert(0, Reacted(post, "like", version))
        client.react(USER + 1, post, "wow")
    engine.drain()
    version = client.react(USER, 5, "love").version
    assert version is not None
    client.unreact(USER, 50)
    assert walk_history(client, USER, 50) == expected  # a batch behind
    engine.drain()
    expected = [r for r in expected if r.post_id not in (5, 50)]
    expected.insert(0, Reacted(5, "love", version))
    for limit in (1, 7, 58, 59, 60, 200):
        assert walk_history(client, USER, limit) == expected
    assert client.history(USER, 59).cursor is None
    assert client.history(USER + 2).items == ()


def test_history_takes_one_round_trip_and_one_query_a_page(engine: Engine) -> None:
    engine.reactions.react_many((USER, post, "like") for post in FEED)
    engine.drain()
    client = engine.reactions
    cursor = client.history(USER, 5).cursor
    with traffic(client) as seen:
        client.history(USER, 5, cursor)
    assert (seen.trips, len(seen.queries)) == (1, 1)


def test_history_pages_through_posts_of_equal_versions(engine: Engine) -> None:
    """Versions are unique in a shard only."""
    version = 1_700_000_000_000_000
    rows = [
        Row(post, USER, 1 + post % 3, version + post // 20)  # twenty shards at each version
        for post in range(1, 101)
    ]
    engine.ledger.record(rows)
    newest = [(row.post_id, row.version) for row in reversed(rows)]
    for limit in (1, 2, 3, 7, 50):
        found = walk_history(engine.reactions, USER, limit)
        assert [(r.post_id, r.version) for r in found] == newest


def test_history_is_stable_while_the_user_goes_on(engine: Engine) -> None:
    client = engine.reactions
    client.react_many((USER, post, "like") for post in range(1, 41))
    engine.drain()
    seen: list[int] = []
    cursor = None
    new = itertools.count(1_000)
    while True:
        page = client.history(USER, 7, cursor)
        seen += [r.post_id for r in page.items]
        cursor = page.cursor
        if cursor is None:
            break
        client.react_many((USER, next(new), "wow") for _ in range(5))
        engine.drain()
    assert seen == list(range(40, 0, -1))


def test_history_leaves_out_deleted_posts(engine: Engine) -> None:
    client = engine.reactions
    client.react_many((USER, post, "like") for post in range(1, 11))
    engine.drain()
    client.delete_post(4)
    while any(engine.outbox.erasures()):
        engine.eraser.erase()
    assert [r.post_id for r in client.history(USER).items] == [10, 9, 8, 7, 6, 5, 3, 2, 1]


# -- uniques ---------------------------------------------------------------------------------------


def test_uniques_of_a_regular_post_are_all_who_ever_reacted(engine: Engine) -> None:
    client = engine.reactions
    assert client.uniques(POST) == 0
    react(engine, POST, range(1, 11))
    engine.drain()
    assert client.uniques(POST) == 10
    react(engine, POST, range(1, 5), None)
    react(engine, POST, range(5, 8), "love")
    engine.drain()
    assert client.counts(POST)["like"] == 3
    assert client.uniques(POST) == 10
    react(engine, POST, [1, 2, 99])
    engine.drain()
    assert client.uniques(POST) == 11


def test_uniques_count_also_who_took_away_what_was_not_there(engine: Engine) -> None:
    """They left a tombstone all the same."""
    react(engine, POST, [1, 2, 3])
    react(engine, POST, [4, 5], None)
    engine.drain()
    assert engine.reactions.uniques(POST) == 5


def test_uniques_of_a_viral_post_are_one_round_trip(small: Engine) -> None:
    make_viral(small, POST)
    client = small.reactions
    react(small, POST, range(1, 6), None)
    react(small, POST, range(100, 105))
    client.counts(POST)
    with traffic(client) as seen:
        assert client.uniques(POST) == 20
    assert (seen.trips, seen.queries) == (1, [])
    small.drain()
    evict(small)
    assert client.uniques(POST) == 20
    react(small, POST, [200])
    small.drain()  # reads the sample again, and who ever reacted
    assert small.client.exists(keys.post_uniques(POST))
    assert client.uniques(POST) == 21


def test_uniques_of_many_are_within_a_hundredth_or_two(engine: Engine) -> None:
    settings = engine.settings.model_copy(update={"viral_threshold": 2_000})
    small = make_engine(settings)
    react(small, POST, range(1, 5_001))
    small.drain()
    assert small.client.exists(keys.post_uniques(POST))
    assert small.reactions.uniques(POST) == pytest.approx(5_000, rel=0.03)
    small.client.delete(keys.post_uniques(POST))
    assert small.reactions.uniques(POST) == 5_000
    small.close()


# -- what a process remembers ----------------------------------------------------------------------


@pytest.fixture
def remembering(small: Engine) -> Iterator[Reactions]:
    with Reactions(small.settings.model_copy(update={"local_cache_s": 30.0})) as client:
        yield client


def test_a_viral_post_may_be_shown_again_unasked(small: Engine, remembering: Reactions) -> None:
    make_viral(small, POST)
    make_regular(small, 2)
    first = remembering.summaries([POST, 2])
    with traffic(remembering) as seen:
        assert remembering.summaries([POST]) == first[:1]
        assert remembering.counts(POST) == first[0].counts
    assert (seen.trips, seen.queries) == (0, [])
    react(small, POST, [500])
    react(small, 2, [500])
    assert remembering.counts(POST) == first[0].counts
    assert remembering.counts(2)["like"] == 9  # a regular one is asked for each time
    with traffic(remembering) as seen:
        assert remembering.summaries([2, POST]) == [
            small.reactions.summaries([2])[0],
            first[0],
        ]
    assert seen.trips == 2  # of which one is the other client's


def test_a_user_always_asks(small: Engine, remembering: Reactions) -> None:
    make_viral(small, POST)
    remembering.counts(POST)
    react(small, POST, [500], "wow")
    (found,) = remembering.summaries([POST], 500)
    assert (found.reaction, found.total) == ("wow", 16)


def test_what_a_process_remembers_ends(small: Engine) -> None:
    make_viral(small, POST)
    settings = small.settings.model_copy(update={"local_cache_s": 0.05})
    with Reactions(settings) as client:
        assert client.counts(POST)["like"] == 15
        react(small, POST, [500])
        wait_until(lambda: client.counts(POST)["like"] == 16, what="the counts to be read again")


def test_a_process_remembers_nothing_unless_it_is_told_to(small: Engine) -> None:
    make_viral(small, POST)
    small.reactions.counts(POST)
    react(small, POST, [500])
    assert small.reactions.counts(POST)["like"] == 16


# -- the queries on many rows ----------------------------------------------------------------------

MANY, LARGE, BUSY = 200_000, 1_042, 7
"""Rows; a post with a half of them; a user with 5,000."""


@pytest.fixture(scope="module")
def many(postgres: Postgres) -> Iterator[Database]:
    """200,000 rows: half of one post, some of one user, and the rest of 5,000 posts."""
    execute_admin(postgres.url, "CREATE DATABASE many TEMPLATE postgres STRATEGY file_copy")
    url = postgres.url.replace("/postgres?", "/many?")
    database = Database(Settings(database_url=url, database_timeout_s=60))
    with database.engine.begin() as connection:
        for statement in (
            "INSERT INTO reactions SELECT :large, n, 1000000 + n, n % 7 "
            "FROM generate_series(1000, 1000 + :half) AS n",
            "INSERT INTO reactions SELECT 20000 + n, :busy, 1000000 + n / 3, 1 + n % 6 "
            "FROM generate_series(1, 5000) AS n",
            "INSERT INTO reactions SELECT 20000 + n % 5000, 100 + n, 1000000 + n, n % 7 "
            "FROM generate_series(1, :half - 5000) AS n",
            "INSERT INTO reaction_counts SELECT post_id, reaction, count(*) "
            "FROM reactions GROUP BY 1, 2",
            "INSERT INTO deleted_posts SELECT 20000 + n FROM generate_series(1, 5000, 5) AS n",
        ):
            connection.execute(text(statement), {"large": LARGE, "busy": BUSY, "half": MANY // 2})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    yield database
    database.close()
    execute_admin(postgres.url, "DROP DATABASE many WITH (FORCE)")


Plan = dict[str, Any]


def explain(database: Database, ask: Callable[[Queries], object]) -> list[Plan]:
    """The nodes of the plans of what was really sent, as they were really executed."""
    sent: list[tuple[str, Any]] = []

    def executing(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        sent.append((statement, values))

    event.listen(database.engine, "before_cursor_execute", executing)
    try:
        ask(Queries(database))
    finally:
        event.remove(database.engine, "before_cursor_execute", executing)
    nodes: list[Plan] = []
    with database.engine.connect() as connection:
        for statement, values in sent:
            found = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}", values
            ).scalar_one()
            (plan,) = json.loads(found) if isinstance(found, str) else found
            nodes += _nodes(plan["Plan"])
    assert nodes
    return nodes


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def rows_read(nodes: Sequence[Plan], table: str) -> int:
    """Rows that the scans of a table and its partitions returned or threw away."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes
        if node.get("Relation Name", "").startswith(table)
    )


def kinds(nodes: Sequence[Plan]) -> set[str]:
    return {str(node["Node Type"]) for node in nodes}


INDEX_SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}

ASKED: dict[str, Callable[[Queries], object]] = {
    "newest": lambda q: q.newest(LARGE, range(1, 7), limit=51),
    "newest of a type": lambda q: q.newest(LARGE, [3], limit=51),
    "newest, far down": lambda q: q.newest(LARGE, range(1, 7), limit=51, before=1_020_000),
    "newest of a small post": lambda q: q.newest(20_100, range(1, 7), limit=51),
    "newest of none": lambda q: q.newest(5, range(1, 7), limit=51),
    "history": lambda q: q.history(BUSY, range(1, 7), limit=51),
    "history, far down": lambda q: q.history(
        BUSY, range(1, 7), limit=51, before=(1_000_500, 20_700)
    ),
    "history for an erasure": lambda q: q.history(BUSY, limit=500, before=(1_001_001, 0)),
    "history of a guest": lambda q: q.history(150, range(1, 7), limit=51),
    "own": lambda q: q.summaries([], BUSY, range(20_001, 20_201)),
    "own on a large post": lambda q: q.summaries([], 50_000, [LARGE]),
    "counts": lambda q: q.summaries(range(20_001, 20_201), 0, []),
    "counts of one": lambda q: q.counts([LARGE]),
    "ever, counted": lambda q: q.count_ever(LARGE),
    "ever": lambda q: q.ever(20_100, 1_000),
}


@pytest.mark.parametrize("name", ASKED)
def test_no_read_scans_a_table(many: Database, name: str) -> None:
    nodes = explain(many, ASKED[name])
    assert "Seq Scan" not in kinds(nodes)
    assert kinds(nodes) & INDEX_SCANS


@pytest.mark.parametrize("name", ["newest", "newest of a type", "newest, far down"])
def test_the_newest_are_read_by_index_and_no_more_than_that(many: Database, name: str) -> None:
    nodes = explain(many, ASKED[name])
    assert "Sort" not in kinds(nodes)
    assert "Limit" in kinds(nodes)
    if name != "newest of a type":
        assert "Merge Append" in kinds(nodes)
    assert 51 <= rows_read(nodes, "reactions") <= 51 + 6
    assert nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"] < 200


def test_a_page_of_history_reads_little_more_than_it_returns(many: Database) -> None:
    """One index scan a partition, merged; a few versions are equal, a fifth is deleted."""
    nodes = explain(many, ASKED["history"])
    assert kinds(nodes) & {"Merge Append"}
    assert 51 <= rows_read(nodes, "reactions") <= 200


@pytest.mark.parametrize(("name", "most"), [("own", 200), ("own on a large post", 1)])
def test_own_reactions_are_found_by_the_primary_key(many: Database, name: str, most: int) -> None:
    nodes = explain(many, ASKED[name])
    assert 0 < rows_read(nodes, "reactions") <= most
    executed = [
        node
        for node in nodes
        if node.get("Index Name", "").startswith("reactions") and node["Actual Loops"]
    ]
    assert sum(node["Actual Loops"] for node in executed) <= most


def test_counts_read_no_rows_of_reactions(many: Database) -> None:
    nodes = explain(many, ASKED["counts"])
    assert rows_read(nodes, "reactions_") == 0
    assert 0 < rows_read(nodes, "reaction_counts") <= 200 * 7


def test_the_queries_answer_what_they_should_on_many_rows(many: Database) -> None:
    queries = Queries(many)
    newest = queries.newest(LARGE, range(1, 7), limit=20)
    top = 1000 + MANY // 2
    expected = [user for user in range(top, top - 40, -1) if user % 7][:20]
    assert [row.user_id for row in newest] == expected
    assert [row.user_id for row in queries.newest(LARGE, [2], limit=3)] == [
        user for user in range(top, top - 40, -1) if user % 7 == 2
    ][:3]
    history = queries.history(BUSY, limit=5_000)
    assert len(history) == 4_000
    assert history == sorted(history, key=lambda row: (-row.version, -row.post_id))
    assert queries.count_ever(LARGE) == MANY // 2 + 1
