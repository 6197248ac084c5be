"""Sends scripts, and waits on the same connection until replicas have their writes.

``WAIT`` waits only for writes of its own connection. A script that has nothing to change writes
nothing: what it found came over another connection. So each pipeline begins with a small write.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias

from redis import Redis, RedisCluster
from redis.exceptions import (
    AskError,
    MovedError,
    NoScriptError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from reactions.redis.cluster_slots import Owner, learn_owners, note_moved, slot_of
from reactions.redis.connection import Client
from reactions.redis.exchanger import exchanger
from reactions.redis.pipeline import Call

Answer: TypeAlias = "tuple[Any, int]"
"""The reply to a call, or its error; and the number of replicas that have its writes."""

_MOVED = (MovedError, RedisConnectionError)
_LOST = (RedisConnectionError, RedisTimeoutError)


def run_confirmed(
    client: Client, calls: Sequence[tuple[Call, str]], wanted: int, wait_s: float
) -> list[Answer]:
    """Send all calls, and wait until ``wanted`` replicas have their writes.

    One round trip; on a cluster one for each node, one node after the other.

    Args:
        calls: each call with a key of its slot that this function may overwrite.
        wait_s: how many seconds to wait for the replicas, over all nodes.

    Raises:
        RedisError: the connection to a single server failed. The failure of a cluster's node is the
            answer to each of its calls instead.
    """
    if not calls:
        return []
    if (loop := exchanger(client)) is not None:  # a wait holds up everybody on its connection
        return loop.run_blocking(lambda own: run_confirmed(own, calls, wanted, wait_s))
    deadline = time.monotonic() + wait_s
    if not isinstance(client, RedisCluster):
        return _run(client, calls, wanted, deadline)
    found: dict[int, Answer] = {}
    todo = list(range(len(calls)))
    for again in (True, False):
        failed: list[Redis] = []
        for node, places in _by_node(client, calls, todo):
            answers = _try(node, [calls[place] for place in places], wanted, deadline)
            found.update(zip(places, answers, strict=True))
            if any(isinstance(reply, _LOST) for reply, _ in answers):
                failed.append(node)
        if failed:
            slots = [slot_of(calls[place][1]) for place in todo]
            learn_owners(client, slots, failed, deadline)
        _note_moved(client, [found[place][0] for place in todo])
        todo = [place for place in todo if isinstance(found[place][0], _MOVED)]
        if not (todo and again):
            break
    return [found[place] for place in range(len(calls))]


def _note_moved(client: RedisCluster, replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, MovedError):
            note_moved(client, reply.slot_id, Owner(reply.host, reply.port))


def _by_node(
    client: RedisCluster, calls: Sequence[tuple[Call, str]], places: Iterable[int]
) -> list[tuple[Redis, list[int]]]:
    nodes: dict[str, tuple[Redis, list[int]]] = {}
    for place in places:
        node: Any = client.get_node_from_key(calls[place][1])  # type: ignore[no-untyped-call]
        connection: Redis = client.get_redis_connection(node)
        nodes.setdefault(node.name, (connection, []))[1].append(place)
    return list(nodes.values())


def _try(
    node: Redis, calls: Sequence[tuple[Call, str]], wanted: int, deadline: float
) -> list[Answer]:
    """Do as ``_run``, but return a failure of the node as the answer to each of its calls."""
    try:
        answers = _run(node, calls, wanted, deadline)
    except RedisError as error:
        return [(error, 0)] * len(calls)
    moving = TryAgainError("the slot is being moved to another node")
    return [(moving, 0) if _is_ask(reply) else (reply, had) for reply, had in answers]


def _is_ask(reply: object) -> bool:
    # MovedError is a subclass of AskError.
    return isinstance(reply, AskError) and not isinstance(reply, MovedError)


def _run(
    client: Redis, calls: Sequence[tuple[Call, str]], wanted: int, deadline: float
) -> list[Answer]:
    replies, confirmed = _send(client, calls, wanted, deadline)
    missing = [i for i, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
    if missing:
        client.script_load(calls[missing[0]][0].script.source)
        anew, confirmed = _send(client, [calls[i] for i in missing], wanted, deadline)
        for i, reply in zip(missing, anew, strict=True):
            replies[i] = reply
    return [(reply, confirmed) for reply in replies]


def _send(
    client: Redis, calls: Sequence[tuple[Call, str]], wanted: int, deadline: float
) -> tuple[list[Any], int]:
    """Send one pipeline: a small write, the scripts, and the wait for all of them."""
    wait_ms = max(1, round((deadline - time.monotonic()) * 1000))  # 0 would wait for ever
    pipe: Any  # redis-py does not annotate execute_command
    with client.pipeline(transaction=False) as pipe:
        pipe.execute_command("SET", calls[0][1], "1")
        for call, _ in calls:
            pipe.execute_command(*call.words)
        pipe.execute_command("WAIT", wanted, wait_ms)
        written, *replies, confirmed = pipe.execute(raise_on_error=False)
    if isinstance(confirmed, RedisError):
        return [r if isinstance(r, RedisError) else confirmed for r in replies], 0
    return replies, 0 if isinstance(written, RedisError) else int(confirmed)
