"""``Reactions``: errors within time limits, threads, forks and cluster mode."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from redis import Redis

from reactions import Reactions, ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.drain.batch import DrainFailed
from reactions.redis.connection import Client, connect
from reactions.redis.server_options import eviction_policies
from tests.support.engine import Engine, make_engine
from tests.support.servers import running_redis
from tests.support.types import write_default_types
from tests.support.waiting import bounded, wait_until


def test_an_unreachable_redis_raises_within_two_seconds(nowhere: Reactions) -> None:
    calls: list[Callable[[], object]] = [
        lambda: nowhere.react(1, 1, "like"),
        lambda: nowhere.react_many([(1, 1, "like")]),
        lambda: nowhere.counts(1),
    ]
    for call in calls:
        with bounded(2), pytest.raises(ReactionsUnavailable, match="not reachable") as error:
            call()
        assert error.value.store == "redis"


def test_a_cluster_that_does_not_answer_is_an_error_of_the_constructor() -> None:
    """It asks for the slots; a single server is asked at the first call."""
    with bounded(2), pytest.raises(ReactionsUnavailable, match="not reachable") as error:
        Reactions(Settings(redis_url="redis://127.0.0.1:1/0", redis_cluster=True))
    assert error.value.store == "redis"


def test_a_frozen_redis_raises_within_the_timeout(tmp_path: Path) -> None:
    with running_redis(tmp_path, "valkey") as server:
        settings = Settings(
            redis_url=server.url, broker_url="redis://127.0.0.1:1", redis_timeout_s=0.3
        )
        with Reactions(settings) as client:
            with Redis.from_url(server.url) as redis:
                write_default_types(redis)
            client.react(1, 1042, "like")
            server.signal(signal.SIGSTOP)
            try:
                with bounded(2), pytest.raises(ReactionsUnavailable, match="redis_timeout_s"):
                    client.react(2, 1042, "like")
            finally:
                server.signal(signal.SIGCONT)
            wait_until(lambda: _works(client), what="the client to recover")


def test_the_client_reconnects_to_a_restarted_redis(tmp_path: Path) -> None:
    with running_redis(tmp_path, "valkey") as server:
        settings = Settings(redis_url=server.url, broker_url="redis://127.0.0.1:1")
        with Reactions(settings) as client:
            with Redis.from_url(server.url) as redis:
                write_default_types(redis)
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
    """A pre-forking web server uses the client and forks; then all processes use it."""
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


@pytest.mark.parametrize("plain", [False, True])
def test_hot_path_and_drain_stay_within_their_slots(
    tmp_path: Path, database_url: str, plain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a cluster, also with a plain client, which sends our commands unchanged to one node."""

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
        posts = [1] if plain else [1, 2]  # a feed of several slots needs a client of a cluster
        assert len(engine.reactions.summaries(posts, 1)) == len(posts)
        found = engine.verify()
        # 29 posts have reactions; Redis has also cached that 77 has none.
        assert (found.holds, found.posts, found.reactions) == (True, 30, 58)
        if not plain:  # a plain client reads the options of one node only
            assert eviction_policies(engine.client, engine.settings) == {"volatile-lru"}
        assert engine.outbox_state.overdue(0) == []
        engine.close()


def test_a_cluster_without_redis_cluster_raises_an_error_that_names_the_setting(
    tmp_path: Path, database_url: str
) -> None:
    """On one server, a feed and a drain use commands with keys in several slots."""
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
            client.react(4, 1, "like")  # the server still works
