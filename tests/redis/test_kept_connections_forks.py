"""kept_connections.py in a forked process, and in the handler of a signal."""

from __future__ import annotations

import gc
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from redis import Redis

from reactions.demo.embedded import Valkey
from reactions.redis import kept_connections, wire
from reactions.redis.connection import execute, execute_many
from tests.redis.kept import connections, identity, open_client
from tests.support.waiting import patience


@pytest.fixture
def client(valkey: Valkey) -> Iterator[Redis]:
    with open_client(valkey.url) as client:
        yield client


@pytest.fixture
def admin(valkey: Valkey) -> Iterator[Redis]:
    with Redis(port=valkey.port) as client:
        yield client


def in_a_child(call: Callable[[], int]) -> int:
    """What the call returns in a forked process; the process ends without any cleaning up."""
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            os.write(sink, str(call()).encode())
        finally:
            os._exit(0)
    os.close(sink)
    os.waitpid(child, 0)
    said = os.read(source, 100)
    os.close(source)
    return int(said)


def test_a_child_has_connections_of_its_own(client: Redis, admin: Redis) -> None:
    before = identity(client)
    theirs = {in_a_child(lambda: identity(client)) for _ in range(3)}
    assert before not in theirs
    assert len(theirs) == 3
    assert connections(admin) >= {before}  # no child has closed it
    assert identity(client) == before


def test_a_child_that_drops_everything_leaves_the_parents_connection(client: Redis) -> None:
    before = identity(client)

    def collect() -> int:
        client.close()
        gc.collect()
        return identity(client)

    assert in_a_child(collect) != before
    assert identity(client) == before


def test_a_fork_while_another_thread_holds_the_lock(client: Redis) -> None:
    before, held, done = identity(client), threading.Event(), threading.Event()

    def hold() -> None:
        with kept_connections._lock:
            held.set()
            done.wait(patience(20))

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        held.wait(patience(20))
        assert in_a_child(lambda: identity(client)) != before
    finally:
        done.set()
        thread.join()


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Have a call made by the handler of SIGUSR1."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda call: signal.signal(signal.SIGUSR1, lambda *_: call())
    signal.signal(signal.SIGUSR1, before)


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGUSR1)
    time.sleep(0)  # the handler runs before the next step of this thread


def test_a_signal_in_the_middle_of_an_exchange(
    client: Redis,
    monkeypatch: pytest.MonkeyPatch,
    on_signal: Callable[[Callable[[], object]], object],
) -> None:
    """The handler reacts, too; neither call gets the reply of the other."""
    before, inner = identity(client), list[Any]()
    original = wire.read_reply

    def interrupted(connection: Any) -> Any:
        monkeypatch.setattr(wire, "read_reply", original)
        interrupt()
        return original(connection)

    on_signal(lambda: inner.extend([identity(client), execute(client, ("ECHO", "inner"))]))
    monkeypatch.setattr(wire, "read_reply", interrupted)
    assert execute_many(client, [("ECHO", "outer"), ("CLIENT", "ID")]) == [b"outer", before]
    assert inner[1] == b"inner"
    assert inner[0] != before
    assert identity(client) == before


@pytest.mark.timeout(20)
def test_a_signal_while_a_connection_is_taken(
    client: Redis,
    monkeypatch: pytest.MonkeyPatch,
    on_signal: Callable[[Callable[[], object]], object],
) -> None:
    """The handler runs in the thread that holds the lock."""
    inner = list[int]()

    class Interrupting(dict[Any, Any]):
        def setdefault(self, *args: Any) -> Any:
            if not inner:
                inner.append(0)
                interrupt()
            return super().setdefault(*args)

    on_signal(lambda: inner.append(identity(client)))
    monkeypatch.setattr(kept_connections, "_kept", Interrupting())
    assert identity(client) == identity(client)
    assert len(inner) == 2
