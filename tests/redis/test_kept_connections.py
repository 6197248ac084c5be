"""kept_connections.py: which thread uses which connection, and when a connection is replaced."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis
from redis.exceptions import MaxConnectionsError
from redis.exceptions import TimeoutError as RedisTimeoutError

from reactions.demo.embedded import Valkey
from reactions.redis import connection_pool, kept_connections
from reactions.redis.connection import execute, execute_many
from reactions.redis.connection_pool import condemn
from tests.redis.kept import connections, identity, only_open, open_client
from tests.support.waiting import patience, wait_until


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    with open_client(valkey.url) as client:
        yield client


@pytest.fixture
def admin(valkey: Valkey) -> Iterator[Redis]:
    with Redis(port=valkey.port) as client:
        yield client


def in_a_thread(call: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(patience(20))


# -- threads ---------------------------------------------------------------------------------------


def test_a_thread_keeps_its_connection(client: Redis, admin: Redis) -> None:
    mine = {identity(client) for _ in range(20)}
    mine |= {execute_many(client, [("CLIENT", "ID")] * 2)[at] for at in (0, 1)}
    assert len(mine) == 1
    only_open(admin, mine)


def test_each_thread_has_its_own(client: Redis, admin: Redis) -> None:
    meeting = threading.Barrier(8)

    def calls(_: int) -> set[int]:
        meeting.wait(patience(20))
        found = {identity(client) for _ in range(50)}
        meeting.wait(patience(20))
        return found

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(calls, range(8)))
    assert [len(each) for each in found] == [1] * 8
    assert len(set.union(*found)) == 8
    only_open(admin, set.union(*found))


def test_a_thread_that_ends_gives_its_connection_back(client: Redis, admin: Redis) -> None:
    found = {in_a_thread(lambda: identity(client)) for _ in range(30)}
    assert len(found) == 1
    only_open(admin, found)
    assert identity(client) in found  # idle in the pool until somebody needs it


def test_threads_beyond_the_bound_borrow(
    valkey: Valkey, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of four may be kept, also when all threads come at the same moment."""
    threads, one_at_a_time = 12, threading.Lock()
    meeting = threading.Barrier(threads)
    with open_client(valkey.url, "max_connections=4") as client:
        take = client.connection_pool.get_connection

        def slowly() -> Any:
            time.sleep(0.05)
            return take()

        pool = client.connection_pool
        monkeypatch.setattr(pool, "get_connection", slowly)

        def calls(_: int) -> int:
            meeting.wait(patience(20))
            with suppress(MaxConnectionsError):  # twelve at once are too many for four
                identity(client)
            meeting.wait(patience(20))
            with one_at_a_time:
                found = identity(client)
            meeting.wait(patience(20))
            return found

        with ThreadPoolExecutor(threads) as runners:
            found = list(runners.map(calls, range(threads)))
        assert len(set(found)) <= 3  # two that are kept, and one to borrow
        wait_until(lambda: len(connections(admin)) <= 4, what="four of the client are open")
    only_open(admin, set())


def test_a_connection_that_cannot_be_made_is_not_counted(
    valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_client(valkey.url, "max_connections=2") as client:
        with monkeypatch.context() as patch:
            patch.setattr(client.connection_pool, "get_connection", lambda: 1 / 0)
            for _ in range(5):
                with pytest.raises(ZeroDivisionError):
                    identity(client)
        assert len({identity(client) for _ in range(3)}) == 1


@pytest.mark.slow
def test_a_thread_forgets_the_clients_that_are_gone(valkey: Valkey, admin: Redis) -> None:
    gc.collect()
    before = len(kept_connections._holder.held)  # of clients that earlier tests left open
    for _ in range(20):
        with open_client(valkey.url) as client:
            identity(client)
        del client
        gc.collect()
    assert len(kept_connections._holder.held) <= before + 2
    only_open(admin, set())


# -- connections that are replaced -----------------------------------------------------------------


def test_an_idle_connection_is_replaced(
    client: Redis, admin: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = identity(client)
    monkeypatch.setattr(connection_pool, "MAX_IDLE_S", 0.05)
    time.sleep(0.1)
    after = identity(client)
    assert after != before
    only_open(admin, {after})
    assert identity(client) == after


def test_a_connection_that_the_server_closed_costs_one_retry(client: Redis, admin: Redis) -> None:
    before = identity(client)
    for _ in range(3):
        admin.client_kill_filter(_id=str(before))
        after = identity(client)
        assert after != before
        before = after


@pytest.mark.parametrize("threads", [1, 5])
def test_condemn_closes_every_idle_connection(client: Redis, admin: Redis, threads: int) -> None:
    meeting = threading.Barrier(threads + 1)

    def calls(_: int) -> tuple[int, int]:
        before = identity(client)
        meeting.wait(patience(20))
        meeting.wait(patience(20))
        return before, identity(client)

    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(calls, range(threads))
        meeting.wait(patience(20))
        condemn(client.connection_pool)
        meeting.wait(patience(20))
        pairs = list(found)
    before, after = ({pair[at] for pair in pairs} for at in (0, 1))
    assert not before & after
    wait_until(lambda: not before & connections(admin), what="the server sees their ends")


def test_condemn_leaves_a_call_that_is_under_way(client: Redis, admin: Redis) -> None:
    began = threading.Event()

    def wait() -> Any:
        before = identity(client)
        began.set()
        found = execute(client, ("BLPOP", "kept:list", str(patience(0.4))))
        return before, found, identity(client)

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        began.wait(patience(20))
        time.sleep(0.1)
        condemn(client.connection_pool)
        admin.rpush("kept:list", "here")
        before, found, after = waiting.result(patience(20))
    assert found == [b"kept:list", b"here"]
    assert before != after


# -- servers that do not answer --------------------------------------------------------------------


def test_a_timeout_bounds_a_call_and_leaves_nothing_behind(client: Redis, admin: Redis) -> None:
    identity(client)
    before = admin.info("stats")["total_connections_received"]
    admin.client_pause(int(patience(1_500)))
    with pytest.raises(RedisTimeoutError):
        execute(client, ("ECHO", "late"))
    # Answered when the pause is over. The call tried once more, over one new connection.
    assert admin.info("stats")["total_connections_received"] == before + 1
    assert execute(client, ("ECHO", "next")) == b"next"
