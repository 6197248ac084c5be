"""Connects to Redis, sends commands, and translates the errors of redis-py."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

from redis import Redis, RedisCluster
from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterCrossSlotError,
    ClusterError,
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
from reactions.redis.advice import MEMORY_FULL_ADVICE, advice
from reactions.redis.cluster_client import connect_cluster
from reactions.redis.cluster_pipeline import execute_on_nodes, key_of, send_packed
from reactions.redis.cluster_slots import slot_of
from reactions.redis.exchanger import exchanger
from reactions.redis.kept_connections import held
from reactions.redis.sentinel import make_pool
from reactions.redis.url_options import check_options
from reactions.redis.wire import Words, pack, read_replies, send

Client: TypeAlias = "Redis | RedisCluster"
"""Where only commands are sent, it may be an ``Exchanger`` in the place of one of these."""
# Error replies of a server that cannot serve now. Any other error reply is a defect.
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
    "UNBLOCKED",  # the primary became a replica while it blocked the client
    "NOAUTH",
    "NOPERM",
    "WRONGPASS",
)
# Replies of a server of another kind (a library that is broken sends no unknown commands), and what
# a node of a cluster says of a script while a slot moves, or while the cluster is down.
_AWAY = re.compile(
    r"unknown command|DB index is out of range|non local key|command while the cluster is down"
)
# Scripts report NOPERM in these words: Redis 7.2 and Valkey, then Redis 7.0.
_DENIED = ("ACL failure in script", "The user executing the script can't")


def connect(settings: Settings) -> Client:
    """Make a client. It connects at the first command, waits a bounded time, and survives a fork.

    The client retries once, immediately, when a connection breaks: a restarted server leaves dead
    connections in the pool. So it does when a connection that was open before does not answer
    within redis_timeout_s: a firewall may have dropped it. A call to a frozen server takes twice
    redis_timeout_s then, and the next ones once.

    Raises:
        InvalidSettings: redis_url has an option that cannot be used.
        ReactionsUnavailable: none of the nodes in the URL answers. Only the client of a cluster
            connects here already, to ask for the slots.
    """
    url = settings.redis_url.get_secret_value()
    check_options(url, cluster=settings.redis_cluster)
    if settings.redis_cluster:
        with translated():
            return connect_cluster(url, settings.redis_timeout_s)
    # Each client needs its own policy: redis-py keeps state in it.
    retry = Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,))
    try:
        pool = make_pool(
            url,
            socket_timeout=settings.redis_timeout_s,
            socket_connect_timeout=settings.redis_timeout_s,
            socket_keepalive=True,
            retry=retry,
        )
        pool.connection_class(**pool.connection_kwargs)  # fail here, not at the first command
    except (ValueError, TypeError):  # its text may contain a part of the URL, so leave it out
        raise InvalidSettings("redis_url has an option whose value redis-py refuses") from None
    return Redis.from_pool(pool)


def is_cluster(client: Client) -> bool:
    """Return whether a client is one of a Redis Cluster."""
    loop = exchanger(client)
    return not isinstance(client, Redis) if loop is None else loop.cluster


def execute(client: Client, command: Words) -> Any:  # noqa: ANN401 - a reply of the server
    """Send one command and return its reply.

    Raises:
        RedisError: the command or the connection failed.
    """
    if isinstance(client, RedisCluster) and key_of(command) is None:
        return client.execute_command(*command)  # type: ignore[no-untyped-call]
    reply = execute_many(client, (command,))[0]
    if isinstance(reply, RedisError):
        raise reply
    return reply


def execute_many(client: Client, commands: Sequence[Words]) -> list[Any]:
    """Send commands in one pipeline and return their replies, in order.

    The reply to a failed command is its RedisError. If the connection breaks, all commands are sent
    once more. On a cluster, a node that does not answer fails its own commands only. A server
    gets the commands over the connection that this thread keeps, packed by hiredis: redis-py's own
    pipeline takes more than twice the processor time.

    Raises:
        RedisError: the connection to a single server failed.
    """
    if isinstance(client, RedisCluster):
        return execute_on_nodes(client, commands)
    if (loop := exchanger(client)) is not None and loop.cluster:
        return loop.exchange_on_nodes([_slot(words) for words in commands], [*map(pack, commands)])
    packed = b"".join(map(pack, commands))
    return exchange(client, packed, len(commands))


def execute_packed(client: Client, slots: Sequence[int], packed: Sequence[bytes]) -> list[Any]:
    """Do as ``execute_many`` does on a cluster, with packed commands, each with its slot."""
    if (loop := exchanger(client)) is not None:
        return loop.exchange_on_nodes(slots, packed)
    assert isinstance(client, RedisCluster)  # noqa: S101 - a single server has no slots
    return send_packed(client, slots, packed)


def _slot(words: Words) -> int:
    key = key_of(words)
    if key is None:
        raise DataError(f"{words[0]!r} has no key that is known here")
    return slot_of(key)


class _Silent(RedisTimeoutError):
    """No answer over a connection that was open before the call: it may be dead."""


def exchange(client: Client, packed: bytes, replies: int) -> list[Any]:
    """Send packed commands to a single server and read their replies.

    They are sent once more if the connection is broken or silent. A new connection proves that the
    server answers, before the commands are sent over it.
    """
    if (loop := exchanger(client)) is not None:
        return loop.exchange(packed, replies)
    assert isinstance(client, Redis)  # noqa: S101 - a cluster is not a single server
    try:
        return _exchange_once(client, packed, replies)
    except (AuthenticationError, MaxConnectionsError):
        raise
    except (RedisConnectionError, _Silent):
        return _exchange_once(client, packed, replies)


def _exchange_once(client: Redis, packed: bytes, replies: int) -> list[Any]:
    kept = held(client)
    if kept is not None:
        kept.busy = True
        try:
            return _send(kept.connection, packed, replies)
        finally:
            kept.busy = False
    pool = client.connection_pool
    borrowed = pool.get_connection()
    try:
        return _send(borrowed, packed, replies)
    finally:
        pool.release(borrowed)


def _send(connection: Any, packed: bytes, replies: int) -> list[Any]:  # noqa: ANN401 - redis-py's
    try:
        send(connection, packed)
        return read_replies(connection, replies)
    except RedisTimeoutError as error:
        connection.disconnect()
        if connection.was_open:
            raise _Silent(str(error)) from error
        raise
    except BaseException:
        connection.disconnect()  # the next user must not read leftover replies
        raise


# What redis-py raises. Its cluster client has a base class of its own.
FAILURES = (RedisError, RedisClusterException)


def translate(error: Exception) -> ReactionsError:
    """Return this library's error for an error of redis-py."""
    # A server that does not know HELLO repeats its arguments, including the password.
    text = str(error).partition(", with args beginning with")[0]
    error.args = (text,)  # the traceback shows this error as the cause
    remedy = advice(error)
    if isinstance(error, RedisTimeoutError):
        reason = f"Redis did not answer within redis_timeout_s: {text}"
        return ReactionsUnavailable("redis", reason, remedy)
    if isinstance(error, RedisConnectionError | RedisClusterException):
        return ReactionsUnavailable("redis", f"Redis is not reachable at redis_url: {text}", remedy)
    if isinstance(error, MovedError | AskError | ClusterCrossSlotError):
        return ReactionsUnavailable(
            "redis", f"redis_url names a node of a cluster, set redis_cluster: {text}"
        )
    if isinstance(error, ResponseError) and refuses(error):
        remedy = MEMORY_FULL_ADVICE if is_full(error) else remedy
        return ReactionsUnavailable("redis", f"Redis refuses to serve: {text}", remedy)
    if isinstance(error, ClusterError) or (isinstance(error, ResponseError) and _AWAY.search(text)):
        return ReactionsUnavailable("redis", f"Redis cannot serve: {text}", remedy)
    return ScriptError(text)


def is_full(error: Exception) -> bool:
    """Return whether the server rejected a write because it has reached maxmemory."""
    return type(error).__name__ == "OutOfMemoryError" or "OOM" in (
        getattr(error, "status_code", None),
        str(error).removeprefix("-")[:3],
    )


def refuses(error: ResponseError) -> bool:
    """Return whether the error says that the server cannot serve now, inside a script or not."""
    code = getattr(error, "status_code", None) or ""
    text = str(error).removeprefix("-")
    # redis-py replaces the code of some replies by an exception type.
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


def is_outage(reply: object) -> bool:
    """Return whether a reply is the error of a node that cannot serve now: another one may."""
    return isinstance(reply, FAILURES) and isinstance(translate(reply), ReactionsUnavailable)


@contextmanager
def readable() -> Iterator[None]:
    """Run a block that reads numbers from replies.

    Raises:
        ScriptError: a reply contains anything but a number: somebody else wrote the key.
    """
    try:
        yield
    except (ValueError, TypeError, IndexError, OverflowError) as error:
        raise ScriptError(
            f"a key contains a value that this version cannot read: {str(error)[:100]}"
        ) from None


@contextmanager
def translated() -> Iterator[None]:
    """Run a block, and raise this library's errors instead of redis-py's."""
    try:
        yield
    except FAILURES as error:
        raise translate(error) from error
