"""The errors of redis-py become this library's errors, and never show a password."""

from __future__ import annotations

import traceback
from contextlib import closing

import pytest
import redis.exceptions
from redis.exceptions import RedisError, ResponseError

from reactions.core.errors import ReactionsError, ReactionsUnavailable, ScriptError
from reactions.demo.process import free_port
from reactions.redis.advice import MEMORY_FULL_ADVICE
from reactions.redis.connection import (
    connect,
    translate,
    translated,
)
from reactions.redis.keys import default_keys as keys
from reactions.redis.scripts import loading
from tests.redis.fake_server import (
    HELLO,
    PASSWORD,
    echoing,
    listening,
    refusing,
    settings_for,
)

# Replies of servers that cannot serve now.
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
    "ERR value is not an integer or out of range",
    "NOTBUSY No scripts in execution right now.",
]


def failure(port: int) -> ReactionsError:
    """Return what a script call to this port raises."""
    with closing(connect(settings_for(port))) as client, pytest.raises(ReactionsError) as caught:
        loading.fence(keys, 1042, "token", 1000).run(client)
    assert isinstance(caught.value.__cause__, RedisError)
    return caught.value


def no_password_in(error: BaseException) -> bool:
    report = traceback.TracebackException.from_exception(error)
    return PASSWORD not in str(error) and PASSWORD not in "".join(report.format())


# -- exception classes -----------------------------------------------------------------------------


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
        ("ClusterError", ReactionsUnavailable, "Redis cannot serve: "),
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
def test_a_refusal_that_is_a_plain_response_error(reply: str, prefix: str) -> None:
    """An error inside a pipeline or script may be a plain ResponseError with its code."""
    found = translate(ResponseError(prefix + reply))
    assert isinstance(found, ReactionsUnavailable)
    if reply.startswith("OOM"):
        assert found.remedy == MEMORY_FULL_ADVICE
    ends = f"; {found.remedy}" if found.remedy else ""
    assert str(found) == f"Redis refuses to serve: {prefix}{reply}{ends}"


# -- replies of a server ---------------------------------------------------------------------------


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
    """Silence before the greeting, and after it."""
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
