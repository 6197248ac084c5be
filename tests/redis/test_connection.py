"""redis-py's errors become this library's, and never with a password in them."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import pytest
import redis.exceptions
from hiredis import pack_command
from redis.exceptions import RedisError, ResponseError

import reactions.redis.connection
from reactions.core.errors import ReactionsError, ReactionsUnavailable, ScriptError
from reactions.core.settings import Settings
from reactions.demo.process import free_port
from reactions.redis.connection import (
    MEMORY_FULL_ADVICE,
    connect,
    execute_many,
    translate,
    translated,
)
from reactions.redis.scripts import loading

PASSWORD = "QXZ789QXZ789"  # noqa: S105 - nobody's

# Replies that say "not now", as servers word them.
REFUSALS = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "OOM command not allowed when used memory > 'maxmemory'. script: 0d2f, on @user_script:32.",
    "READONLY You can't write against a read only replica.",
    "READONLY You can't write against a read only replica. script: 0d2f, on @user_script:32.",
    "MISCONF Errors writing to the AOF file: No space left on device",
    "LOADING Redis is loading the dataset in memory",
    "CLUSTERDOWN The cluster is down",
    "CLUSTERDOWN Hash slot not served",
    "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    "NOREPLICAS Not enough good replicas to write.",
    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "NOAUTH Authentication required.",
    "NOPERM this user has no permissions to run the 'evalsha' command",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "ERR ACL failure in script: No permissions to access a key script: on @user_script:1.",
    "ERR The user executing the script can't run this command or subcommand script: 0d, on @x:1.",
    "ERR max number of clients reached",
]
DEFECTS = [
    "WRONGTYPE Operation against a key holding the wrong kind of value script: 0d, on @x:1.",
    "ERR user_script:32: attempt to compare nil with number script: 0d2f, on @user_script:32.",
    "ERR unknown command 'EVALSHA'",
    "ERR value is not an integer or out of range",
    "NOTBUSY No scripts in execution right now.",
]
HELLO = b"%1\r\n$5\r\nproto\r\n:3\r\n"
Answer = Callable[[bytes], bytes]
HANG_UP = b"\0"


@contextmanager
def listening(*answers: Answer) -> Iterator[int]:
    """A server that answers each request as told; b"" is silence. Yields its port.

    With several answers, each is that of a connection, the last one of all further ones.
    """
    left = list(answers)

    def serve(peer: socket.socket, answer: Answer) -> None:
        with peer:
            while (request := peer.recv(65536)) and (reply := answer(request)) != HANG_UP:
                peer.sendall(reply)

    def accept() -> None:
        while True:
            try:
                peer, _ = server.accept()
            except OSError:
                return
            answer = left.pop(0) if len(left) > 1 else left[0]
            threading.Thread(target=serve, args=(peer, answer), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def saying(*replies: bytes) -> Answer:
    """Lets a client in, then answers its requests with these, and all further with the last."""
    left = list(replies)

    def answer(request: bytes) -> bytes:
        if b"HELLO" in request:
            return HELLO
        if b"MAINT_NOTIFICATIONS" in request:
            return b"-ERR unknown subcommand\r\n"
        # redis-py names itself with a pipeline of these, one reply each.
        if b"SETINFO" in request:
            return request.count(b"SETINFO") * b"+OK\r\n"
        return left.pop(0) if len(left) > 1 else left[0]

    return answer


def refusing(reply: str) -> Answer:
    """Lets a client in, then answers every command with this error."""
    return saying(f"-{reply}\r\n".encode())


def echoing(request: bytes) -> bytes:
    """As a server from before HELLO: the error repeats the arguments, and so the password."""
    name, *words = request.split(b"\r\n")[2::2]
    shown = b" ".join(b"`%s`" % word for word in words)
    return b"-ERR unknown command `%s`, with args beginning with: %s\r\n" % (name, shown)


def settings_for(port: int, *, cluster: bool = False) -> Settings:
    url = f"redis://:{PASSWORD}@127.0.0.1:{port}/0"
    return Settings(redis_url=url, redis_cluster=cluster, redis_timeout_s=0.2)


def failure(port: int) -> ReactionsError:
    """What a script call raises on a server on this port."""
    with closing(connect(settings_for(port))) as client, pytest.raises(ReactionsError) as caught:
        loading.fence(1042, "token", 1000).run(client)
    assert isinstance(caught.value.__cause__, RedisError)
    return caught.value


def no_password_in(error: BaseException) -> bool:
    report = traceback.TracebackException.from_exception(error)
    return PASSWORD not in str(error) and PASSWORD not in "".join(report.format())


# -- by class --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind", "begins"),
    [
        ("TimeoutError", ReactionsUnavailable, "Redis did not answer within redis_timeout_s: "),
        ("ConnectionError", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("AuthenticationError", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("AuthorizationError", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("BusyLoadingError", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("MaxConnectionsError", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("RedisClusterException", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("SlotNotCoveredError", ReactionsUnavailable, "Redis is not reachable at redis_url: "),
        ("OutOfMemoryError", ReactionsUnavailable, "Redis refuses to serve: "),
        ("ReadOnlyError", ReactionsUnavailable, "Redis refuses to serve: "),
        ("NoPermissionError", ReactionsUnavailable, "Redis refuses to serve: "),
        ("ClusterDownError", ReactionsUnavailable, "Redis refuses to serve: "),
        ("MasterDownError", ReactionsUnavailable, "Redis refuses to serve: "),
        ("TryAgainError", ReactionsUnavailable, "Redis refuses to serve: "),
        ("ResponseError", ScriptError, ""),
        ("NoScriptError", ScriptError, ""),
        (
            "ClusterCrossSlotError",
            ReactionsUnavailable,
            "redis_url names a node of a cluster, set redis_cluster: ",
        ),
        ("DataError", ScriptError, ""),
        ("InvalidResponse", ScriptError, ""),
        ("WatchError", ScriptError, ""),
        ("RedisError", ScriptError, ""),
    ],
)
def test_classes(name: str, kind: type[ReactionsError], begins: str) -> None:
    error = getattr(redis.exceptions, name)("what happened")
    found = translate(error)
    assert type(found) is kind
    advice = f"; {MEMORY_FULL_ADVICE}" if name == "OutOfMemoryError" else ""
    assert str(found) == f"{begins}what happened{advice}"
    if isinstance(found, ReactionsUnavailable):
        assert found.store == "redis"


@pytest.mark.parametrize("prefix", ["", "-"])
@pytest.mark.parametrize("reply", REFUSALS[:-1])
def test_a_refusal_whose_class_redis_py_does_not_know(reply: str, prefix: str) -> None:
    """An error inside a pipeline or script may arrive as a plain ResponseError, code and all."""
    found = translate(ResponseError(prefix + reply))
    assert isinstance(found, ReactionsUnavailable)
    advice = f"; {MEMORY_FULL_ADVICE}" if reply.startswith("OOM") else ""
    assert str(found) == f"Redis refuses to serve: {prefix}{reply}{advice}"


# -- by what a server says -------------------------------------------------------------------------


@pytest.mark.parametrize("reply", REFUSALS)
def test_a_server_that_refuses_is_unavailable(reply: str) -> None:
    with listening(refusing(reply)) as port:
        error = failure(port)
    assert isinstance(error, ReactionsUnavailable)
    assert reply.partition(" ")[2] in str(error)
    assert no_password_in(error)


@pytest.mark.parametrize("reply", DEFECTS)
def test_any_other_error_of_a_server_is_a_defect(reply: str) -> None:
    with listening(refusing(reply)) as port:
        error = failure(port)
    assert isinstance(error, ScriptError)
    assert reply.partition(" ")[2].strip() in str(error)
    assert no_password_in(error)


def test_translated_does_the_same() -> None:
    with pytest.raises(ReactionsUnavailable, match="refuses") as caught, translated():
        raise ResponseError("OOM command not allowed")
    assert isinstance(caught.value.__cause__, ResponseError)
    with pytest.raises(ZeroDivisionError), translated():
        raise ZeroDivisionError


# -- servers that do not answer, and passwords -----------------------------------------------------


def test_nobody_listens() -> None:
    error = failure(free_port())
    assert isinstance(error, ReactionsUnavailable)
    assert "Redis is not reachable at redis_url" in str(error)
    assert no_password_in(error)


@pytest.mark.parametrize("after", [b"", HELLO])
def test_silence_is_a_timeout(after: bytes) -> None:
    """Before the greeting, and after it."""
    with listening(lambda request: after if b"HELLO" in request else b"") as port:
        error = failure(port)
    assert isinstance(error, ReactionsUnavailable)
    assert "Redis did not answer within redis_timeout_s" in str(error)
    assert no_password_in(error)


@pytest.mark.parametrize(
    "reply",
    [
        b"-WRONGPASS invalid username-password pair or user is disabled.\r\n",
        b"-NOAUTH HELLO must be called with the client already authenticated\r\n",
        b"-ERR Client sent AUTH, but no password is set\r\n",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\0" * 64,
    ],
)
def test_no_password_when_the_greeting_fails(reply: bytes) -> None:
    with listening(lambda _: reply) as port:
        assert no_password_in(failure(port))


def test_no_password_when_the_server_repeats_it() -> None:
    with listening(echoing) as port:
        assert no_password_in(failure(port))


def test_a_cluster_that_is_down() -> None:
    with pytest.raises(ReactionsUnavailable) as caught, translated():
        connect(settings_for(free_port(), cluster=True)).ping()
    assert no_password_in(caught.value)


# -- what is left of an exchange -------------------------------------------------------------------


def test_a_reply_that_came_too_late_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a caller who was interrupted, by a time limit of Celery's for one."""
    asked = [("GET", "a"), ("GET", "b"), ("GET", "c")]
    complete = b":7\r\n:8\r\n:9\r\n"
    late = saying(b":7\r\n", b":8\r\n:9\r\n" + complete)
    with (
        listening(late, saying(complete)) as port,
        closing(connect(settings_for(port))) as client,
    ):
        with monkeypatch.context() as patch:
            read = reactions.redis.connection._reply
            patch.setattr(reactions.redis.connection, "_reply", interrupted_after(1, read))
            with pytest.raises(KeyboardInterrupt):
                execute_many(client, asked)
        assert execute_many(client, asked) == [7, 8, 9]


def interrupted_after(number: int, call: Callable[..., object]) -> Callable[..., object]:
    left = [number]

    def calling(*args: object) -> object:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return call(*args)

    return calling


def test_a_command_that_fails_leaves_the_replies_of_the_others() -> None:
    with (
        listening(saying(b":7\r\n-ERR no such thing\r\n:9\r\n")) as port,
        closing(connect(settings_for(port))) as client,
    ):
        for _ in range(2):
            first, second, third = execute_many(client, [("GET", "a")] * 3)
            assert (first, str(second), third) == (7, "no such thing", 9)
            assert type(second) is ResponseError


def hanging_up(asked: list[bytes]) -> Answer:
    """Lets a client in, and closes at its first command."""
    greet = saying(b"")

    def answer(request: bytes) -> bytes:
        if b"GET" not in request:
            return greet(request)
        asked.append(request)
        return HANG_UP

    return answer


def test_what_a_broken_connection_was_asked_is_asked_once_more() -> None:
    asked: list[bytes] = []
    with (
        listening(hanging_up(asked), saying(b":7\r\n")) as port,
        closing(connect(settings_for(port))) as client,
    ):
        assert execute_many(client, [("GET", "a")]) == [7]
        assert len(asked) == 1


def test_what_a_broken_connection_was_asked_is_asked_no_more_than_that() -> None:
    asked: list[bytes] = []
    with (
        listening(hanging_up(asked)) as port,
        closing(connect(settings_for(port))) as client,
    ):
        with pytest.raises(redis.exceptions.ConnectionError):
            execute_many(client, [("GET", "a")])
        assert len(asked) == 2


def test_a_large_pipeline_may_take_longer_than_one_time_out() -> None:
    """Each piece of it has its own, as the server may read slowly."""
    number, words = 10_000, ("GET", "x" * 1_000)
    size = len(pack_command(words))  # type: ignore[arg-type]
    server = socket.create_server(("127.0.0.1", 0))
    server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 131_072)  # holds a part of it only

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


def test_what_is_no_word_is_an_error_of_redis_py() -> None:
    with closing(connect(settings_for(1))) as client, pytest.raises(redis.exceptions.DataError):
        execute_many(client, [("GET", None)])  # type: ignore[list-item]
