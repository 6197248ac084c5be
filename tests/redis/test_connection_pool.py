"""A reply that tells of a server's role ends the connection, and its idle siblings."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from redis import Redis, RedisCluster
from redis.exceptions import RedisError

from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis import connection_pool
from reactions.redis.connection import Client, connect, execute, execute_many
from reactions.redis.keys import default_keys as keys
from reactions.redis.replicas import run_confirmed
from reactions.redis.scripts import writes
from tests.redis.kept import connections, open_client
from tests.redis.replication import Pair, demoted, running_pair
from tests.support.engine import DEAD_BROKER, Engine
from tests.support.service_name import ServiceName, service_name
from tests.support.waiting import patience, wait_until


def identity(client: Client) -> int:
    return int(execute(client, ("CLIENT", "ID")))


def test_a_primary_that_became_a_replica_is_left(engine: Engine) -> None:
    client = connect(engine.settings)
    call = writes.record(keys, 7, 1042, 1, 10)
    call.run(client)
    before = identity(client)
    others: list[int] = []
    go_on, met = threading.Event(), threading.Event()

    def sibling() -> None:
        others.append(identity(client))
        met.set()
        go_on.wait(patience(20))
        others.append(identity(client))

    thread = threading.Thread(target=sibling)
    thread.start()
    assert met.wait(patience(20))
    with demoted(engine.settings), pytest.raises(ReactionsUnavailable, match="refuses to serve"):
        writes.record(keys, 7, 1042, 2, 10).run(client)  # a change, which a replica refuses
    assert identity(client) != before
    go_on.set()
    thread.join(patience(20))
    assert others[0] != others[1]  # an idle connection of another thread is left, too
    call.run(client)
    client.close()


def pipelined(client: Redis) -> None:
    """As the outbox and the clock write."""
    with client.pipeline(transaction=False) as pipe:
        pipe.get("outbox:{42}:any")
        pipe.set("outbox:{42}:any", "1")
        pipe.get("outbox:{42}:any")
        pipe.execute(raise_on_error=False)


def pipelined_strictly(client: Redis) -> None:
    with client.pipeline(transaction=False) as pipe:
        pipe.set("a", "1")
        pipe.execute()


def refused(call: Callable[[Redis], object]) -> Callable[[Redis], object]:
    def run(client: Redis) -> None:
        with pytest.raises(Exception, match="read only replica"):
            call(client)

    return run


PATHS: dict[str, Callable[[Redis], object]] = {
    "a kept connection": refused(lambda client: execute(client, ("SET", "a", "1"))),
    "many commands": lambda client: execute_many(client, [("SET", "a", "1"), ("GET", "a")]),
    "a command of redis-py": refused(lambda client: client.set("a", "1")),
    "a pipeline of redis-py": pipelined,
    "a pipeline with an error": refused(pipelined_strictly),
    "waiting for replicas": lambda client: run_confirmed(
        client, [(writes.record(keys, 7, 1042, 1, 10), "outbox:{42}:barrier")], 1, 0.1
    ),
}


@pytest.mark.parametrize("path", PATHS)
def test_every_way_to_send_leaves_a_replica(engine: Engine, path: str) -> None:
    client, other = connect(engine.settings), connect(engine.settings)
    assert isinstance(client, Redis)
    with (
        client,
        other,
        demoted(engine.settings),
    ):
        # Those that this thread keeps, of two pools with one address, and an idle one of a pool.
        before = [identity(client), identity(other), client.client_id()]
        assert len(set(before)) == 3
        PATHS[path](client)
        assert not {identity(client), identity(other), client.client_id()} & set(before)


@pytest.mark.parametrize("code", ["READONLY", "MASTERDOWN", "UNBLOCKED", "NOREPLICAS"])
def test_the_nodes_of_a_cluster(cluster: list[Valkey], code: str) -> None:
    key = keys.post_summary(1042)
    with connect(Settings(redis_url=cluster[0].url, redis_cluster=True)) as client:
        assert isinstance(client, RedisCluster)
        node = client.get_redis_connection(client.get_node_from_key(key))  # type: ignore[no-untyped-call]
        before = [identity(node), node.client_id()]
        says = ("EVAL", f"return redis.error_reply('{code} it says')", 1, key)
        execute_many(client, [says, ("GET", key)])
        assert not {identity(node), node.client_id()} & set(before)


# -- an address that names another server now ------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder: Path = tmp_path_factory.mktemp("pair")
    with running_pair(folder, "valkey") as pair:
        yield pair


def switch_over(pair: Pair, name: ServiceName) -> None:
    """Exchange the roles, and point the name to the new primary. No connection is cut."""
    old, new = pair.primary, pair.replica
    if name.target == new.port:
        old, new = new, old
    with Redis(port=old.port) as was, Redis(port=new.port) as becomes:
        was.wait(1, 5_000)
        becomes.replicaof("NO", "ONE")
        was.replicaof("127.0.0.1", str(new.port))
    name.target = new.port


def primary_of(pair: Pair) -> int:
    with Redis(port=pair.primary.port) as asked:
        role: Any = asked.role()
    return pair.primary.port if role[0] in {b"master", "master"} else pair.replica.port


def test_a_switch_over_costs_one_call(pair: Pair) -> None:
    with service_name(primary_of(pair)) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        client = connect(Settings(redis_url=url, broker_url=DEAD_BROKER, redis_timeout_s=5))
        meeting = threading.Barrier(8)

        def calls(user_id: int) -> int:
            writes.record(keys, user_id, 1042, 1, 10).run(client)
            meeting.wait(patience(20))
            if user_id == 1:
                switch_over(pair, name)
                with pytest.raises(ReactionsUnavailable):
                    writes.record(keys, user_id, 1042, 2, 10).run(client)
            meeting.wait(patience(20))
            failed = 0
            for code in (3, 4, 5):
                try:
                    writes.record(keys, user_id, 1042, code, 10).run(client)
                except ReactionsUnavailable:
                    failed += 1
            return failed

        with ThreadPoolExecutor(8) as threads:
            assert sum(threads.map(calls, range(1, 9))) == 0
        client.close()


# -- what a connection leaves behind --------------------------------------------------------------


LATE = "x" * 600_000  # more than a server takes that does not read, and less than waits to be sent


@pytest.mark.parametrize(
    ("asked", "send"),
    [
        (identity, lambda client: execute(client, ("SET", "late", LATE))),
        (Redis.client_id, lambda client: client.set("late", LATE)),
    ],
    ids=["a kept connection", "one of redis-py's"],
)
def test_what_waits_to_be_sent_when_a_connection_ends_is_never_sent(
    valkey: Valkey, asked: Callable[[Redis], int], send: Callable[[Redis], object]
) -> None:
    """The call may be done again by then, and others after it."""
    with Redis(port=valkey.port) as admin, open_client(valkey.url) as client:
        used = asked(client)
        valkey.signal(signal.SIGSTOP)
        try:
            with pytest.raises((RedisError, ReactionsUnavailable)):
                send(client)
        finally:
            valkey.signal(signal.SIGCONT)
        wait_until(lambda: used not in connections(admin), what="the server sees the end")
        assert not admin.exists("late")


# -- connections that went silent while idle -------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_connections_that_went_silent_fail_no_call(
    valkey: Valkey, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty users at once after a quiet night, over kept connections and over the pool's."""
    with service_name(valkey.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        client = connect(Settings(redis_url=url, redis_timeout_s=patience(1)))
        assert isinstance(client, Redis)
        meeting = threading.Barrier(20)

        def send() -> None:
            if kept:
                assert execute(client, ("PING",)) in {b"PONG", "PONG", True}
            else:
                with client.pipeline(transaction=False) as pipe:
                    pipe.get("a")
                    pipe.execute()

        def calls(_: int) -> None:
            for _ in range(2):
                meeting.wait(patience(20))
                send()
            if meeting.wait(patience(20)) == 0:
                name.drop_silently()
                monkeypatch.setattr(connection_pool, "MAX_IDLE_S", patience(0.5))
                time.sleep(patience(0.6))  # the night
            meeting.wait(patience(20))
            send()

        with ThreadPoolExecutor(20) as threads:
            list(threads.map(calls, range(20)))
        client.close()


def test_connections_dropped_a_moment_ago_fail_no_call(valkey: Valkey) -> None:
    """Nothing says that they are dead but the time-out; the call then tries a new connection."""
    with service_name(valkey.port) as name:
        url = f"redis://127.0.0.1:{name.port}/0"
        client = connect(Settings(redis_url=url, redis_timeout_s=patience(0.5)))
        meeting = threading.Barrier(20)

        def calls(number: int) -> None:
            writes.record(keys, number, 1042, 1, 10).run(client)
            if meeting.wait(patience(20)) == 0:
                name.drop_silently()
            meeting.wait(patience(20))
            writes.record(keys, number, 1042, 2, 10).run(client)

        with ThreadPoolExecutor(20) as threads:
            list(threads.map(calls, range(1, 21)))
        client.close()
