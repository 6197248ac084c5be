"""The public client: outcomes, honest errors, bounded waits, threads and forks."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

import reactions
from reactions import InvalidArgument, Reactions, ReactionsUnavailable, Status
from reactions.core.errors import BatchInterrupted, ScriptError
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.drain.batch import DrainFailed
from reactions.redis.connection import Client, connect
from reactions.redis.server_options import eviction_policies
from tests.support.engine import Engine, make_engine
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

BAD_IDS: list[Any] = [0, -1, 2**63, True, False, 1.0, float("nan"), "1", b"1", None, [1], 10**5000]
BAD_REACTIONS: list[Any] = [
    "",
    "LIKE",
    "like ",
    "x" * 10_000,
    "\0",
    1,
    True,
    None,
    b"like",
    ["like"],
]


@pytest.fixture
def nowhere() -> Reactions:
    """A client of a Redis that is not there: whatever is sent fails."""
    return Reactions(Settings(redis_url="redis://127.0.0.1:1/0", broker_url="redis://127.0.0.1:1"))


def test_outcomes_of_a_cold_and_of_a_loaded_post(engine: Engine) -> None:
    client = engine.reactions
    first = client.react(1, 1042, "like")
    assert (first.status, first.reaction, first.previous) == (Status.ACCEPTED, "like", None)
    assert isinstance(first.version, int)
    engine.drain()
    assert engine.loader.load([1042])
    assert client.react(1, 1042, "like") == reactions.Outcome(
        Status.UNCHANGED, "like", "like", None
    )
    assert client.react(2, 1042, "love").status is Status.CREATED
    replaced = client.react(1, 1042, "love")
    assert (replaced.status, replaced.reaction, replaced.previous) == ("replaced", "love", "like")
    removed = client.unreact(1, 1042)
    assert (removed.status, removed.reaction, removed.previous) == ("removed", None, "love")
    assert client.unreact(1, 1042).status is Status.UNCHANGED
    assert client.counts(1042) == dict.fromkeys(engine.settings.reaction_types, 0) | {"love": 1}


def test_an_outcome_is_frozen(engine: Engine) -> None:
    outcome = engine.reactions.react(1, 1042, "like")
    with pytest.raises(AttributeError):
        outcome.version = 1  # type: ignore[misc]


@pytest.mark.parametrize("bad", BAD_IDS, ids=lambda bad: type(bad).__name__)
def test_a_bad_id_is_refused_before_anything_is_sent(nowhere: Reactions, bad: Any) -> None:
    calls: list[tuple[str, Callable[[], object]]] = [
        ("user_id", lambda: nowhere.react(bad, 1, "like")),
        ("post_id", lambda: nowhere.react(1, bad, "like")),
        ("user_id", lambda: nowhere.unreact(bad, 1)),
        ("post_id", lambda: nowhere.unreact(1, bad)),
        ("post_id", lambda: nowhere.counts(bad)),
        ("user_id", lambda: nowhere.react_many([(1, 1, "like"), (bad, 1, "like")])),
    ]
    for argument, call in calls:
        with pytest.raises(InvalidArgument, match="an integer from 1 to 2\\^63-1") as error:
            call()
        assert error.value.argument == argument
        assert len(str(error.value)) < 200


@pytest.mark.parametrize("bad", BAD_REACTIONS, ids=lambda bad: repr(bad)[:20])
def test_a_bad_reaction_is_refused_before_anything_is_sent(nowhere: Reactions, bad: Any) -> None:
    with pytest.raises(InvalidArgument, match="like, love, laugh, wow, sad, angry") as error:
        nowhere.react(1, 1, bad)
    assert error.value.argument == "reaction"
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("bad", [None, 5, [5], [(1, 2)], ["abc"], [(1, 2, "like", 4)], [None]])
def test_a_bad_batch_is_refused_before_anything_is_sent(nowhere: Reactions, bad: Any) -> None:
    with pytest.raises(InvalidArgument) as error:
        nowhere.react_many(bad)
    assert error.value.argument == "items"


def test_a_batch_is_bounded(engine: Engine) -> None:
    endless = ((user, 1042, "like") for user in iter(lambda: 1, 0))
    with pytest.raises(InvalidArgument, match="at most 10000"):
        engine.reactions.react_many(endless)
    assert engine.outbox_state.pending() == 0


def test_react_many_is_one_round_trip_with_outcomes_in_order(engine: Engine) -> None:
    client = engine.reactions
    client.react(1, 1, "wow")
    before = engine.client.info("stats")["total_reads_processed"]
    outcomes = client.react_many([(1, 1, "like"), (2, 2, "love"), (1, 1, None), (1, 1, None)])
    reads = engine.client.info("stats")["total_reads_processed"] - before
    assert reads <= 2  # the pipeline, and this INFO
    assert [outcome.status for outcome in outcomes] == [
        Status.REPLACED,
        Status.ACCEPTED,
        Status.REMOVED,
        Status.UNCHANGED,
    ]
    assert client.react_many([]) == []


def test_react_is_one_round_trip_on_one_slot_whatever_the_post(engine: Engine) -> None:
    """Cold, loaded or large: one EVALSHA, and the client sends nothing else."""
    client = engine.reactions
    client.react(1, 1042, "like")
    commands = []
    with engine.client.monitor() as monitor:  # type: ignore[no-untyped-call]
        for post in (1042, 7, 2**63 - 1):
            client.react(2, post, "like")
            for seen in monitor.listen():
                if seen["client_type"] == "lua":
                    continue
                commands.append(seen["command"].split()[0])
                break
    assert commands == ["EVALSHA"] * 3


def test_a_script_flush_heals_by_itself(engine: Engine) -> None:
    client = engine.reactions
    client.react(1, 1042, "like")
    engine.client.script_flush()
    assert client.react(1, 1042, "love").status is Status.REPLACED
    engine.client.script_flush()
    assert client.react_many([(1, 1042, "wow"), (1, 1042, None)])[1].status is Status.REMOVED


def test_redis_gone_is_a_clear_error_in_time(nowhere: Reactions) -> None:
    calls: list[Callable[[], object]] = [
        lambda: nowhere.react(1, 1, "like"),
        lambda: nowhere.react_many([(1, 1, "like")]),
        lambda: nowhere.counts(1),
    ]
    for call in calls:
        began = time.monotonic()
        with pytest.raises(ReactionsUnavailable, match="not reachable") as error:
            call()
        assert error.value.store == "redis"
        assert time.monotonic() - began < 2


def test_a_frozen_redis_is_a_clear_error_within_the_timeout(tmp_path: Path) -> None:
    with running_redis(tmp_path, "valkey") as server:
        settings = Settings(
            redis_url=server.url, broker_url="redis://127.0.0.1:1", redis_timeout_s=0.3
        )
        with Reactions(settings) as client:
            client.react(1, 1042, "like")
            server.signal(signal.SIGSTOP)
            try:
                began = time.monotonic()
                with pytest.raises(ReactionsUnavailable, match="redis_timeout_s"):
                    client.react(2, 1042, "like")
                assert time.monotonic() - began < 2
            finally:
                server.signal(signal.SIGCONT)
            wait_until(lambda: _works(client), what="the client to recover")


def test_a_restarted_redis_is_found_again_with_its_data(tmp_path: Path) -> None:
    with running_redis(tmp_path, "valkey") as server:
        settings = Settings(redis_url=server.url, broker_url="redis://127.0.0.1:1")
        with Reactions(settings) as client:
            client.react(1, 1042, "like")
            server.stop()
            with pytest.raises(ReactionsUnavailable):
                client.react(1, 1042, "love")
            server.start()
            assert client.react(1, 1042, "love").previous == "like"


def _works(client: Reactions) -> bool:
    try:
        client.react(3, 1042, "like")
    except ReactionsUnavailable:
        return False
    return True


def test_a_batch_cut_short_says_what_was_acknowledged(engine: Engine) -> None:
    """One of the posts holds a key of the wrong type, as only a foreign hand could make it."""
    engine.client.set("post:{43}:1043:pending", "garbage")
    with pytest.raises(BatchInterrupted, match="2 of 3") as error:
        engine.reactions.react_many([(1, 1042, "like"), (1, 1043, "like"), (1, 1044, "like")])
    statuses = [outcome and outcome.status for outcome in error.value.outcomes]
    assert statuses == [Status.ACCEPTED, None, Status.ACCEPTED]
    with pytest.raises(ScriptError):
        engine.reactions.react(1, 1043, "like")


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("user_id", "a number", "x"),
        ReactionsUnavailable("redis", "gone"),
        BatchInterrupted("cut", [None]),
        ScriptError("broken"),
    ],
)
def test_an_error_survives_a_process_pool(error: reactions.ReactionsError) -> None:
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))


def test_many_threads_share_a_client(engine: Engine) -> None:
    def play(first: int) -> None:
        for user in range(first, first + 100):
            engine.reactions.react(user, 1042, "like")

    threads = [threading.Thread(target=play, args=(1 + 100 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    engine.drain()
    assert engine.reactions.counts(1042)["like"] == 800
    assert engine.verify().holds


def test_a_client_survives_a_fork(engine: Engine) -> None:
    """A pre-forking web server makes the client, uses it, and forks; all go on using it."""
    client = engine.reactions
    client.react(1, 1042, "like")
    client.counts(9)  # opens the database too
    children = [_fork(client, user) for user in (2, 3, 4)]
    client.react(5, 1042, "like")
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    client.counts(11)
    engine.drain()
    assert engine.reactions.counts(1042)["like"] == 5


def _fork(client: Reactions, user: int) -> int:
    child = os.fork()
    if child == 0:
        try:
            for _ in range(50):
                client.react(user, 1042, "love")
                client.react(user, 1042, "like")
            client.counts(user + 100)
            fresh = client.relay_stats().requested <= 100
            os._exit(0 if fresh else 1)
        except BaseException:  # noqa: BLE001 - a child must never return into pytest
            os._exit(2)
    return child


def test_a_fork_while_another_thread_makes_the_default_client_does_not_hang() -> None:
    from reactions.api import default

    with default._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            with default._lock:
                os._exit(0)
        assert os.waitpid(child, 0)[1] == 0


def test_closing_closes_the_connections_to_the_database(engine: Engine) -> None:
    engine.reactions.counts(9)
    database = engine.reactions._read_path().database
    engine.reactions.close()
    assert database.engine.pool.status().count("Connections in pool: 0") == 1


def test_the_module_functions_use_a_client_from_the_environment(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in settings.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("reactions.api.default._client", None)
    assert reactions.react(1, 1042, "like").status is Status.ACCEPTED
    assert reactions.react_many([(2, 1042, "like")])[0].status is Status.ACCEPTED
    assert reactions.unreact(2, 1042).status is Status.REMOVED
    assert reactions.counts(1042)["like"] == 1
    assert reactions.default_client() is reactions.default_client()
    reactions.default_client().close()


@pytest.mark.parametrize("plain", [False, True])
def test_hot_path_and_drain_stay_within_their_slots(
    tmp_path: Path, database_url: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a server with cluster-enabled yes; a plain client sends it as it is what we made."""

    def connect_plainly(settings: Settings) -> Client:
        return connect(settings.model_copy(update={"redis_cluster": False}))

    if plain:
        monkeypatch.setattr("reactions.api.client.connect", connect_plainly)
        monkeypatch.setattr("tests.support.engine.connect", connect_plainly)
    with running_redis(tmp_path, "cluster") as server:
        settings = Settings(
            redis_url=server.url,
            redis_cluster=True,
            database_url=database_url,
            broker_url="redis://127.0.0.1:1",
        )
        engine = make_engine(settings)
        for post in range(1, 30):
            engine.reactions.react(1, post, "like")
        engine.reactions.react_many((2, post, "love") for post in range(1, 30))
        with Redis(port=server.port) as client:
            client.script_flush()
        engine.drain()
        assert engine.reactions.counts(5)["love"] == 1
        assert engine.loader.load([5])
        assert engine.reactions.counts(77)["like"] == 0
        assert len(engine.reactions.summaries([1, 2], 1)) == 2
        found = engine.verify()
        assert (found.holds, found.posts, found.reactions) == (True, 29, 58)
        if not plain:  # as which it is asked about one node, not all
            assert eviction_policies(engine.client, engine.settings) == {"volatile-lru"}
        assert engine.outbox_state.overdue(0) == []
        engine.close()


def test_a_cluster_that_is_taken_for_one_server_says_what_to_set(
    tmp_path: Path, database_url: str
) -> None:
    """A feed of posts in several slots, and a drain, are fewer calls on one server."""
    with running_redis(tmp_path, "cluster") as server:
        settings = Settings(
            redis_url=server.url, database_url=database_url, broker_url="redis://127.0.0.1:1"
        )
        with Reactions(settings) as client:
            for user in range(1, 4):
                client.react(user, 1, "like")
            with pytest.raises(ReactionsUnavailable, match="set redis_cluster"):
                client.summaries([1, 2], 1)
            engine = make_engine(settings)
            with pytest.raises(DrainFailed, match="set redis_cluster"):
                engine.persister.drain([1])
            engine.close()
            client.react(4, 1, "like")  # the server goes on


def test_a_server_is_started_on_purpose(valkey: Valkey) -> None:
    with Redis(port=valkey.port) as client:
        options = client.config_get()
    assert options["appendonly"] == "yes"
    assert options["maxmemory-policy"] == "volatile-lru"
    assert options["hash-max-listpack-entries"] == "512"
