"""Sends commands to the nodes of a cluster: one pipeline for each node, to all nodes at once.

redis-py's own cluster pipeline asks a node for the keys of each script before it sends any, takes
connections from pools, and starts each command anew. The slot of each command is known here, and a
thread keeps one connection to each node. Whatever a node does not answer, or answers with another
address, goes through redis-py, which knows how the slots move.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisClusterException,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from reactions.redis.kept_connections import Held, held
from reactions.redis.wire import Argument, Words, pack, read_reply, send

_ELSEWHERE = (MovedError, AskError, TryAgainError, ClusterDownError)
_GONE = (RedisConnectionError, RedisTimeoutError)

_KEY_FIRST = {
    *("EXISTS", "GET", "HEXISTS", "HGET", "HMGET", "MGET", "PEXPIRE", "PFCOUNT", "PTTL"),
    *("SET", "SISMEMBER"),
}
"""Commands whose second word is a key; any other command goes through redis-py."""


def execute_on_nodes(client: RedisCluster, commands: Sequence[Words]) -> list[Any]:
    """Send commands and return their replies, in order; a failed command's reply is its error.

    Commands for one node keep their order.

    Raises:
        RedisError: a node cannot be reached.
        RedisClusterException: no node has a slot.
    """
    pipelines = _divide(client, commands)
    if pipelines is None:
        return _by_redis_py(client, commands)
    replies: list[Any] = [None] * len(commands)
    again: list[int] = []
    try:
        for pipeline in pipelines:
            pipeline.send(commands)
        for pipeline in pipelines:
            for place, reply in zip(pipeline.places, pipeline.read(), strict=True):
                replies[place] = reply
                if reply is _LOST or isinstance(reply, _ELSEWHERE):
                    again.append(place)
    finally:
        for pipeline in pipelines:
            pipeline.close()
    if again:
        again.sort()
        found = _by_redis_py(client, [commands[place] for place in again])
        for place, reply in zip(again, found, strict=True):
            replies[place] = reply
    return replies


def _divide(client: RedisCluster, commands: Sequence[Words]) -> list[_NodePipeline] | None:
    """Divide the commands by node; None if it is not known which node has the key of each."""
    found: dict[str, _NodePipeline] = {}
    for place, words in enumerate(commands):
        key = key_of(words)
        if key is None:
            return None
        try:
            node: Any = client.get_node_from_key(key)  # type: ignore[no-untyped-call]
        except RedisClusterException:
            return None
        pipeline = found.get(node.name)
        if pipeline is None:
            connected = client.get_redis_connection(node)
            pipeline = found[node.name] = _NodePipeline(connected)
        pipeline.places.append(place)
    return list(found.values())


def key_of(words: Words) -> Argument | None:
    """The first key of a command; None if it has none, or is not known here."""
    if words[0] in {"EVALSHA", "EVAL"}:
        return words[3] if words[2] else None
    return words[1] if words[0] in _KEY_FIRST else None


def _by_redis_py(client: RedisCluster, commands: Sequence[Words]) -> list[Any]:
    with client.pipeline(transaction=False) as pipe:  # type: ignore[no-untyped-call]
        for words in commands:
            pipe.execute_command(*words)
        return list(pipe.execute(raise_on_error=False))


_LOST = object()
"""Stands for the reply of a node that could not be reached."""


class _NodePipeline:
    """What one call sends to one node.

    Attributes:
        places: of its commands among those of the call.
    """

    __slots__ = ("_client", "_connection", "_failed", "_kept", "_owes", "places")

    def __init__(self, client: Redis) -> None:
        self.places: list[int] = []
        self._client = client
        self._kept: Held | None = None
        self._connection: Any = None  # redis-py's
        self._failed = False
        self._owes = False
        """The connection owes replies, so nobody else may use it."""

    def send(self, commands: Sequence[Words]) -> None:
        packed = b"".join([pack(commands[place]) for place in self.places])
        try:
            self._kept = held(self._client)
            if self._kept is None:
                self._connection = self._client.connection_pool.get_connection()
            else:
                self._kept.busy = True
                self._connection = self._kept.connection
            self._owes = True
            send(self._connection, packed)
        except _GONE:
            self._failed = True

    def read(self) -> list[Any]:
        """The replies; _LOST for each command if the node cannot be reached."""
        if not self._failed:
            try:
                found = [read_reply(self._connection) for _ in self.places]
            except _GONE:
                self._failed = True
            else:
                self._owes = False
                return found
        return [_LOST] * len(self.places)

    def close(self) -> None:
        if self._connection is None:
            return
        if self._owes:
            self._connection.disconnect()  # the next user must not read leftover replies
        if self._kept is not None:
            self._kept.busy = False
        else:
            self._client.connection_pool.release(self._connection)
