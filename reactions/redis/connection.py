"""The connection to Redis, and the one place where its errors become this library's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from hiredis import pack_command
from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    DataError,
    MaxConnectionsError,
    MovedError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from reactions.core.errors import InvalidSettings, ReactionsError, ReactionsUnavailable, ScriptError
from reactions.core.settings import Settings

Client: TypeAlias = "Redis | RedisCluster"
Argument: TypeAlias = "str | bytes | int"
Words: TypeAlias = "Sequence[Argument]"
"""Of one command, each alone: ``("MEMORY", "USAGE", key)``."""

PIECE = 65_536
"""Bytes that are sent within one time-out."""

# Replies by which a server says that it cannot serve now; any other error reply is a defect.
_REFUSALS = (
    "OOM",
    "READONLY",
    "MISCONF",
    "LOADING",
    "CLUSTERDOWN",
    "MASTERDOWN",
    "NOREPLICAS",
    "BUSY",
    "TRYAGAIN",
    "UNBLOCKED",  # a primary that became a replica while it was waited for
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
)
# In a script, a server says it in words: Redis 7.2 and Valkey, then Redis 7.0.
_DENIED = ("ACL failure in script", "The user executing the script can't")


FULL = (
    "its memory is full: drains make room, so see that workers and PostgreSQL keep up,"
    " or raise maxmemory"
)
"""What is to be done where writes are refused because maxmemory is reached."""


def connect(settings: Settings) -> Client:
    """A client with bounded waits; it connects at the first command and survives a fork.

    One of a cluster asks for the slots here already, and may raise ReactionsUnavailable.
    InvalidSettings where redis_url has an unknown option.

    A connection that breaks is tried once more at once (a restarted server leaves dead ones in the
    pool); a time-out is not, so that a call is bounded by the configured time.
    """
    # Rebuilt for each client: redis-py keeps state in the policy.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    url = settings.redis_url.get_secret_value()
    if settings.redis_cluster:
        with translated():
            return RedisCluster.from_url(
                url,
                socket_timeout=settings.redis_timeout_s,
                socket_connect_timeout=settings.redis_timeout_s,
                retry=retry,
            )
    try:
        client = Redis.from_url(
            url,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
            socket_keepalive=True,
            retry=retry,
        )
        pool = client.connection_pool
        pool.connection_class(**pool.connection_kwargs)  # would fail at the first command else
    except (ValueError, TypeError):  # without its text: it may have a part of the URL
        raise InvalidSettings(
            "redis_url has an option after ? that redis-py does not take"
        ) from None
    return client


def execute(client: Client, command: Words) -> Any:  # noqa: ANN401 - a reply of the server
    """Send one command.

    Raises:
        RedisError: it failed, or the connection did.
    """
    if not isinstance(client, Redis):
        return client.execute_command(*command)  # type: ignore[no-untyped-call]
    (reply,) = execute_many(client, (command,))
    if isinstance(reply, RedisError):
        raise reply
    return reply


def execute_many(client: Client, commands: Sequence[Words]) -> list[Any]:
    """Send commands in one pipeline; an entry is the RedisError where that command failed.

    On one server straight over a connection of the pool, packed by hiredis: redis-py's own way
    takes a third longer for each call (docs/benchmarks/suite.md). Where the connection breaks, all
    is sent once more.

    Raises:
        RedisError: the connection failed as a whole.
    """
    if not isinstance(client, Redis):
        with client.pipeline(transaction=False) as pipe:  # type: ignore[no-untyped-call]
            for words in commands:
                pipe.execute_command(*words)
            return list(pipe.execute(raise_on_error=False))
    pack: Any = pack_command  # hiredis does not say what it takes
    try:
        packed = b"".join(pack(tuple(words)) for words in commands)
    except TypeError as error:
        raise DataError(str(error)) from error
    try:
        return _exchange(client, packed, len(commands))
    except (AuthenticationError, MaxConnectionsError):
        raise
    except RedisConnectionError:
        return _exchange(client, packed, len(commands))


def _exchange(client: Redis, packed: bytes, replies: int) -> list[Any]:
    pool = client.connection_pool
    connection: Any = pool.get_connection()  # redis-py does not say what it takes
    try:
        # Each piece may take redis_timeout_s: a large batch is not to be cut off while it is sent.
        connection.send_packed_command(
            [packed[start : start + PIECE] for start in range(0, len(packed), PIECE)]
        )
        return [_reply(connection) for _ in range(replies)]
    except BaseException:
        connection.disconnect()  # replies may be left, which are not the next one's
        raise
    finally:
        pool.release(connection)


def _reply(connection: Any) -> Any:  # noqa: ANN401 - as above
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


# What redis-py raises; its cluster has a base of its own.
FAILURES = (RedisError, RedisClusterException)


def translate(error: Exception) -> ReactionsError:
    """The library's error for one of redis-py's."""
    # A server that does not know HELLO repeats its arguments, the password among them.
    text = str(error).partition(", with args beginning with")[0]
    error.args = (text,)  # it stays in the traceback as the cause
    if isinstance(error, RedisTimeoutError):
        return ReactionsUnavailable("redis", f"Redis did not answer within redis_timeout_s: {text}")
    if isinstance(error, RedisConnectionError | RedisClusterException):
        return ReactionsUnavailable(
            "redis", f"Redis is not reachable at redis_url: {text}{_advice(text)}"
        )
    if isinstance(error, MovedError | AskError | ClusterCrossSlotError):
        return ReactionsUnavailable(
            "redis", f"redis_url names a node of a cluster, set redis_cluster: {text}"
        )
    if isinstance(error, ResponseError) and refuses(error):
        advice = f"; {FULL}" if is_full(error) else ""
        return ReactionsUnavailable("redis", f"Redis refuses to serve: {text}{advice}")
    return ScriptError(text)


def _advice(text: str) -> str:
    """What to do about TLS, where the message does not say it."""
    if "CERTIFICATE_VERIFY_FAILED" in text:
        return "; its ssl_ca_certs is to name the server's CA, its host that of the certificate"
    if "reset by peer" in text or "closed by server" in text:
        return "; where the server wants TLS, redis_url begins with rediss://"
    return ""


def is_full(error: Exception) -> bool:
    """Whether the server refuses to write because maxmemory is reached."""
    return type(error).__name__ == "OutOfMemoryError" or "OOM" in (
        getattr(error, "status_code", None),
        str(error).removeprefix("-")[:3],
    )


def refuses(error: ResponseError) -> bool:
    """Whether the server says that it cannot serve now, from a script or outside one."""
    code = getattr(error, "status_code", None) or ""
    text = str(error).removeprefix("-")
    # redis-py strips the code of some replies and keeps their type instead.
    return (
        code in _REFUSALS
        or text.startswith(_REFUSALS)
        or any(denied in text for denied in _DENIED)
        or type(error).__name__
        in {
            "OutOfMemoryError",
            "ReadOnlyError",
            "NoPermissionError",
            "ClusterDownError",
            "MasterDownError",
            "TryAgainError",
        }
    )


@contextmanager
def readable() -> Iterator[None]:
    """Run a block that reads numbers out of replies; what is none was written by another hand.

    Raises:
        ScriptError: a reply holds something else.
    """
    try:
        yield
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise ScriptError(
            f"a key holds what this version cannot read: {str(error)[:100]}"
        ) from None


@contextmanager
def translated() -> Iterator[None]:
    """Run a block with redis-py's errors turned into this library's."""
    try:
        yield
    except FAILURES as error:
        raise translate(error) from error
