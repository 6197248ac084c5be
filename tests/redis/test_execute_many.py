"""``execute_many``: leftover replies, broken connections, and large pipelines."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing

import pytest
import redis.exceptions
from hiredis import pack_command
from redis.exceptions import ResponseError

from reactions.core.settings import Settings
from reactions.redis import wire
from reactions.redis.connection import (
    connect,
    execute_many,
)
from reactions.redis.wire import Words
from tests.redis.fake_server import (
    hanging_up,
    listening,
    saying,
    settings_for,
)


def test_a_late_reply_does_not_reach_the_next_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first caller was interrupted, for example by a time limit of Celery."""
    asked = [("GET", "a"), ("GET", "b"), ("GET", "c")]
    complete = b":7\r\n:8\r\n:9\r\n"
    late = saying(b":7\r\n", b":8\r\n:9\r\n" + complete)
    with (
        listening(late, saying(complete)) as port,
        closing(connect(settings_for(port))) as client,
    ):
        with monkeypatch.context() as patch:
            interrupted = interrupted_after(1, wire.read_reply)
            patch.setattr(wire, "read_reply", interrupted)
            with pytest.raises(KeyboardInterrupt):
                execute_many(client, asked)
        assert execute_many(client, asked) == [7, 8, 9]


def test_news_of_the_server_between_the_replies_is_none_of_them(redis_url: str) -> None:
    tracking: Words = ("CLIENT", "TRACKING", "ON")
    read: Words = ("GET", "k")
    commands: list[Words] = [tracking, read, ("SET", "k", "1"), read, ("HGET", "k", "f"), read]
    with closing(connect(Settings(redis_url=f"{redis_url}?protocol=3"))) as client:
        *found, refused, last = execute_many(client, commands)
    assert found == [b"OK", None, b"OK", b"1"]
    assert isinstance(refused, ResponseError)
    assert last == b"1"


def interrupted_after(number: int, call: Callable[..., object]) -> Callable[..., object]:
    left = [number]

    def calling(*args: object) -> object:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return call(*args)

    return calling


def test_a_failed_command_does_not_affect_the_other_replies() -> None:
    with (
        listening(saying(b":7\r\n-ERR no such thing\r\n:9\r\n")) as port,
        closing(connect(settings_for(port))) as client,
    ):
        for _ in range(2):
            first, second, third = execute_many(client, [("GET", "a")] * 3)
            assert (first, str(second), third) == (7, "no such thing", 9)
            assert type(second) is ResponseError


def test_a_broken_connection_is_retried() -> None:
    asked: list[bytes] = []
    with (
        listening(hanging_up(asked), saying(b":7\r\n")) as port,
        closing(connect(settings_for(port))) as client,
    ):
        assert execute_many(client, [("GET", "a")]) == [7]
        assert len(asked) == 1


def test_a_broken_connection_is_retried_only_once() -> None:
    asked: list[bytes] = []
    with (
        listening(hanging_up(asked)) as port,
        closing(connect(settings_for(port))) as client,
    ):
        with pytest.raises(redis.exceptions.ConnectionError):
            execute_many(client, [("GET", "a")])
        assert len(asked) == 2


def test_a_large_pipeline_may_take_longer_than_one_time_out() -> None:
    """Each piece has a time-out of its own, because the server may read slowly."""
    number, words = 10_000, ("GET", "x" * 1_000)
    size = len(pack_command(words))  # type: ignore[arg-type]
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)  # smaller than the pipeline

    def read_slowly() -> None:
        peer, _ = server.accept()
        with peer:
            greet, read, answered = saying(b""), 0, 0
            while request := peer.recv(131_072):
                if not read and b"GET" not in request:
                    peer.sendall(greet(request))
                    continue
                read += len(request)
                peer.sendall(b":7\r\n" * (read // size - answered))
                answered = read // size
                time.sleep(0.01)

    threading.Thread(target=read_slowly, daemon=True).start()
    with closing(server), closing(connect(settings_for(server.getsockname()[1]))) as client:
        began = time.monotonic()
        assert execute_many(client, [words] * number) == [7] * number
        assert time.monotonic() - began > 2 * settings_for(0).redis_timeout_s


def test_an_argument_of_a_wrong_type_is_a_data_error() -> None:
    with closing(connect(settings_for(1))) as client, pytest.raises(redis.exceptions.DataError):
        execute_many(client, [("GET", None)])  # type: ignore[list-item]
