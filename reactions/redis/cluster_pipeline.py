"""Sends commands to the nodes of a cluster: one pipeline for each node, to all nodes at once.

redis-py's own cluster pipeline asks a node for the keys of each script before it sends any, takes
connections from pools, starts each command anew, sends what was redirected one command after the
other, and fails as a whole with one node. The slot of each command is known here, and a thread
keeps one connection to each node. What a node redirects goes to the right node, all together.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any

from redis import Redis, RedisCluster
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    RedisError,
    TryAgainError,
)

from reactions.redis.cluster_slots import (
    Owner,
    learn_owners,
    node_at,
    node_of,
    note_moved,
    slot_of,
)
from reactions.redis.kept_connections import kept_open
from reactions.redis.node_pipeline import NodePipeline
from reactions.redis.wire import Argument, Words, pack, read_reply, send

_KEY_FIRST = {
    *("DEL", "EXISTS", "GET", "HDEL", "HEXISTS", "HGET", "HGETALL", "HKEYS", "HLEN", "HMGET"),
    *("HSCAN", "HSET", "HVALS", "LRANGE", "MGET", "PEXPIRE", "PFCOUNT", "PTTL", "RENAME", "RPUSH"),
    *("SADD", "SCARD", "SET", "SISMEMBER", "SMEMBERS", "SREM", "TTL", "TYPE", "UNLINK", "ZADD"),
    *("ZCARD", "ZRANGE", "ZREM", "ZSCORE"),
}
"""Commands whose second word is a key; any other command goes through redis-py."""

_PAUSE_S, _MAX_PAUSE_S = 0.005, 0.05
"""How long a call waits before it sends again what a node cannot serve at this moment."""

MAX_AT_ONCE = 3
"""A call follows so many redirections one after the other; then it waits before each further one,
because two nodes may name each other while a slot changes hands."""


def execute_on_nodes(client: RedisCluster, commands: Sequence[Words]) -> list[Any]:
    """Send commands and return their replies, in order; a failed command's reply is its error.

    Commands for one node keep their order. A node that does not answer fails its own commands only.
    What a node redirects, or cannot serve while a slot moves, is sent again for redis_timeout_s.
    A node that is lost gets its commands once more, over a new connection or at its successor.

    Raises:
        RedisError: a command has no key that is known here, and redis-py cannot carry it out.
    """
    slots = []
    for words in commands:
        key = key_of(words)
        if key is None:
            return _by_redis_py(client, commands)
        slots.append(slot_of(key))
    return send_packed(client, slots, [pack(words) for words in commands])


def send_packed(client: RedisCluster, slots: Sequence[int], commands: Sequence[bytes]) -> list[Any]:
    """Do as ``execute_on_nodes`` does, with commands that are packed, each with its slot.

    Raises:
        Nothing: the reply to a command is its error.
    """
    if len(commands) == 1 and (reply := _send_one(client, slots[0], commands[0])) is not _AGAIN:
        return [reply]
    call = _Call(client, commands, slots)
    call.run()
    return call.replies


_AGAIN = object()
"""Stands for the reply to a command that is sent once more, with everything that ``_Call`` does."""


def _send_one(client: RedisCluster, slot: int, packed: bytes) -> Any:  # noqa: ANN401 - a reply
    """Send one command over an open connection, with as little as possible around it."""
    nodes: Any = client.nodes_manager.slots_cache.get(slot)
    node = nodes[0].redis_connection if nodes else None
    kept = kept_open(node) if node is not None else None
    if kept is None:
        return _AGAIN
    kept.busy = True
    connection = kept.connection
    try:
        send(connection, packed)
        reply = read_reply(connection)
    except RedisError:  # then over a new connection
        connection.disconnect()
        return _AGAIN
    except BaseException:
        connection.disconnect()  # the next user must not read leftover replies
        raise
    finally:
        kept.busy = False
    return _AGAIN if isinstance(reply, AskError | TryAgainError) else reply


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


class _Call:
    """One call, until each of its commands has a reply.

    Attributes:
        replies: of the commands, in order.
    """

    def __init__(
        self, client: RedisCluster, commands: Sequence[bytes], slots: Sequence[int]
    ) -> None:
        self.replies: list[Any] = [None] * len(commands)
        self._client = client
        self._commands = commands
        self._slots = slots
        self._todo: dict[int, Owner | None] = dict.fromkeys(range(len(commands)))
        """Place of a command -> the node that imports its slot; None for the owner of the slot."""
        self._failed: dict[int, Redis] = {}
        """The nodes that gave no answer, by identity."""
        self._began = time.monotonic()
        self._patience_s = float(client.nodes_manager.connection_kwargs["socket_timeout"])

    def run(self) -> None:
        pause_s = 0.0
        for turn in itertools.count():
            pipelines = self._divide() if turn else self._divide_by_owner()
            self._todo = {}
            wait = self._exchange(pipelines)
            if not self._todo:
                return
            if wait or turn > MAX_AT_ONCE:
                pause_s = min(max(_PAUSE_S, 2 * pause_s), _MAX_PAUSE_S)
                time.sleep(pause_s)

    def _divide_by_owner(self) -> Sequence[NodePipeline]:
        """Divide everything by node, as far as the nodes are known; feeds begin here."""
        owners: Any = self._client.nodes_manager.slots_cache
        found: dict[int, NodePipeline] = {}
        for place, slot in enumerate(self._slots):
            nodes = owners.get(slot)
            pipeline = found.get(id(nodes))  # the slots of a range share a list
            if pipeline is None:
                if not nodes:
                    return self._divide()
                node = self._client.get_redis_connection(nodes[0])
                pipeline = found[id(nodes)] = NodePipeline(node)
            pipeline.places.append(place)
        of_node: dict[int, NodePipeline] = {}
        for pipeline in found.values():
            first = of_node.setdefault(id(pipeline.node), pipeline)
            if first is not pipeline:
                first.places = sorted([*first.places, *pipeline.places])
        return list(of_node.values())

    def _divide(self) -> Sequence[NodePipeline]:
        """Divide what is to be sent by node, or by the node that imports its slot."""
        found: dict[tuple[int, bool], NodePipeline] = {}
        for place, importing in self._todo.items():
            if importing is not None:
                node: Redis | None = node_at(self._client, *importing)
            else:
                node = node_of(self._client, self._slots[place])
            if node is None:
                self.replies[place] = ClusterDownError("CLUSTERDOWN Hash slot not served")
                continue
            which = id(node), importing is not None
            pipeline = found.get(which)
            if pipeline is None:
                pipeline = found[which] = NodePipeline(node, asking=importing is not None)
            pipeline.places.append(place)
        return list(found.values())

    def _exchange(self, pipelines: Sequence[NodePipeline]) -> bool:
        """Send to all nodes, then read. Returns whether to wait before the rest is sent again."""
        wait, late = False, False
        lost: list[NodePipeline] = []
        try:
            for pipeline in pipelines:
                if self._elapsed() < 2 * self._patience_s:
                    pipeline.send(self._commands)
                else:
                    pipeline.give_up()
            for pipeline in pipelines:
                replies = pipeline.read(late)
                if replies is None:
                    lost.append(pipeline)
                    late = late or self._elapsed() >= self._patience_s
                    continue
                for place, reply in zip(pipeline.places, replies, strict=True):
                    self.replies[place] = reply
                    if isinstance(reply, RedisError):
                        wait |= self._redirect(place, reply)
        finally:
            for pipeline in pipelines:
                pipeline.close()
        if lost:
            self._follow(lost)
        return wait

    def _elapsed(self) -> float:
        return time.monotonic() - self._began

    def _redirect(self, place: int, error: RedisError) -> bool:
        """Note where to send a command again, if at all. Returns whether to wait before that."""
        if not isinstance(error, AskError | TryAgainError):  # MovedError is a subclass of AskError
            return False
        if self._elapsed() >= self._patience_s:
            self.replies[place] = TryAgainError("TRYAGAIN the slot is being moved to another node")
            return False
        self._todo[place] = None
        if isinstance(error, TryAgainError):
            return True
        named = Owner(error.host, error.port)
        if isinstance(error, MovedError):
            note_moved(self._client, error.slot_id, named)
        else:
            self._todo[place] = named
        return False

    def _follow(self, lost: Sequence[NodePipeline]) -> None:
        """Send what nodes did not answer once more: to their successors, or to them again."""
        places = {place for pipeline in lost for place in pipeline.places}
        again = {id(pipeline.node) for pipeline in lost} & self._failed.keys()
        self._failed |= {id(pipeline.node): pipeline.node for pipeline in lost}
        if self._elapsed() < 2 * self._patience_s:
            slots = {self._slots[place] for place in places}
            until = self._began + 2 * self._patience_s
            learn_owners(self._client, slots, self._failed.values(), until)
        for pipeline in lost:
            for place in pipeline.places:
                self.replies[place] = pipeline.failure
                owner = node_of(self._client, self._slots[place])
                if self._elapsed() >= 2 * self._patience_s or owner is None:
                    continue
                moved = id(owner) not in self._failed
                if moved or (pipeline.may_retry and id(owner) not in again):
                    self._todo[place] = None
