"""cluster_pipeline.py: one pipeline for each node, and what goes through redis-py."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from redis import Redis, RedisCluster
from redis.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from benchmarks.support.cluster import command, is_complete
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis import cluster_pipeline, node_pipeline
from reactions.redis.cluster_pipeline import execute_on_nodes, key_of
from reactions.redis.cluster_slots import slot_of
from reactions.redis.connection import connect, execute, execute_many, is_outage
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import run_many
from reactions.redis.scripts.writes import record
from reactions.redis.wire import Words
from tests.support.waiting import bounded, patience, wait_until

pytestmark = pytest.mark.slow

POSTS = range(1, 61)  # of many shards, on every node

TIMEOUT_S = 0.5


def settings(node: Valkey) -> Settings:
    return Settings(redis_url=node.url, redis_cluster=True, redis_timeout_s=patience(TIMEOUT_S))


@pytest.fixture
def client(cluster: list[Valkey]) -> Iterator[RedisCluster]:
    with connect(settings(cluster[0])) as client:
        assert isinstance(client, RedisCluster)
        yield client


@pytest.fixture
def by_redis_py(monkeypatch: pytest.MonkeyPatch) -> list[Words]:
    """The commands that redis-py's own pipeline gets."""
    sent: list[Words] = []
    original = cluster_pipeline._by_redis_py

    def noting(client: RedisCluster, commands: Sequence[Words]) -> list[Any]:
        sent.extend(commands)
        return original(client, commands)

    monkeypatch.setattr(cluster_pipeline, "_by_redis_py", noting)
    return sent


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The port of each write to a socket by this thread."""
    ports: list[int] = []
    original: Any = AbstractConnection.send_packed_command
    watched = threading.get_ident()

    def sending(connection: Any, *args: Any, **options: Any) -> Any:
        if threading.get_ident() == watched:
            ports.append(connection.port)
        return original(connection, *args, **options)

    monkeypatch.setattr(AbstractConnection, "send_packed_command", sending)
    return ports


def write(post: int) -> Words:
    return ("SET", keys.post_summary(post), f"0,1,{post}")


def read(post: int) -> Words:
    return ("GET", keys.post_summary(post))


def test_replies_are_in_order_and_each_node_is_written_to_once(
    client: RedisCluster, by_redis_py: list[Words], written: list[int]
) -> None:
    commands = [command for post in POSTS for command in (write(post), read(post))]
    execute_on_nodes(client, commands)  # connects
    written.clear()
    assert execute_on_nodes(client, commands)[1::2] == [f"0,1,{post}".encode() for post in POSTS]
    assert len(written) == len(set(written)) == 3
    assert by_redis_py == []


def test_scripts_need_no_other_command(
    client: RedisCluster, by_redis_py: list[Words], written: list[int]
) -> None:
    calls = [record(keys, 7, post, 1, 1_000) for post in POSTS]
    assert all(isinstance(reply, list) for reply in run_many(client, calls))
    written.clear()
    assert [reply[0] for reply in run_many(client, calls)] == [0] * len(POSTS)  # unchanged
    assert calls[0].run(client)[0] == 0
    assert len(written) == 3 + 1
    assert by_redis_py == []


def test_an_error_is_the_reply_of_its_command_alone(client: RedisCluster) -> None:
    name = keys.post_summary(1)
    replies = execute_on_nodes(client, [write(1), ("HGET", name, "x"), read(1), read(2)])
    assert isinstance(replies[1], ResponseError)
    assert replies[2:] == [b"0,1,1", None]
    with pytest.raises(NoScriptError):
        execute(client, ("EVALSHA", "f" * 40, 1, name))


def test_a_command_without_a_known_key_goes_through_redis_py(
    client: RedisCluster, by_redis_py: list[Words]
) -> None:
    name = keys.post_summary(1)
    execute_many(client, [write(1)])
    commands: list[Words] = [read(1), ("OBJECT", "ENCODING", name)]
    assert execute_many(client, commands) == [b"0,1,1", b"embstr"]
    assert by_redis_py == commands
    assert execute(client, ("PING",))
    assert key_of(("EVAL", "return 1", 0)) is None


def test_a_slot_that_moved_is_followed(
    client: RedisCluster, cluster: list[Valkey], by_redis_py: list[Words]
) -> None:
    post = next(p for p in POSTS if _port_of(client, p) == cluster[0].port)
    slot = client.keyslot(keys.post_summary(post))  # type: ignore[no-untyped-call]
    with Redis(port=cluster[1].port) as other:
        new = other.execute_command("CLUSTER", "MYID")
    for node in cluster:
        with Redis(port=node.port) as admin:
            admin.execute_command("CLUSTER", "SETSLOT", slot, "NODE", new)
    assert execute_on_nodes(client, [write(post), read(post)])[1] == f"0,1,{post}".encode()
    assert _port_of(client, post) == cluster[1].port
    assert by_redis_py == []


def test_a_restarted_node_is_connected_to_anew(
    client: RedisCluster, by_redis_py: list[Words]
) -> None:
    commands = [read(post) for post in POSTS]
    execute_on_nodes(client, commands)
    for node in client.get_primaries():  # type: ignore[no-untyped-call]
        with Redis(port=node.port) as admin:
            admin.client_kill_filter(_type="normal")
    for _ in range(2):
        by_redis_py.clear()
        assert execute_on_nodes(client, commands) == [None] * len(POSTS)
    assert by_redis_py == []


def test_a_call_that_is_interrupted_leaves_no_reply_behind(
    client: RedisCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute_many(client, [write(post) for post in POSTS])

    def interrupted(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(node_pipeline, "read_replies", interrupted)
        with pytest.raises(KeyboardInterrupt):
            execute_on_nodes(client, [write(post) for post in POSTS])
    assert execute_on_nodes(client, [read(post) for post in POSTS]) == [
        f"0,1,{post}".encode() for post in POSTS
    ]


@pytest.mark.parametrize("way", ["killed", "frozen"])
def test_a_node_that_is_gone_fails_its_own_commands_only(
    client: RedisCluster, cluster: list[Valkey], by_redis_py: list[Words], way: str
) -> None:
    commands = [write(post) for post in POSTS]
    execute_on_nodes(client, commands)
    gone = cluster[0]
    gone.signal(signal.SIGKILL if way == "killed" else signal.SIGSTOP)
    with bounded(3 * TIMEOUT_S):
        for _ in range(2):
            for post, reply in zip(POSTS, execute_on_nodes(client, commands), strict=True):
                lost = _port_of(client, post) == gone.port
                assert isinstance(reply, RedisConnectionError | RedisTimeoutError) == lost
                assert is_outage(reply) == lost
    assert by_redis_py == []
    gone.signal(signal.SIGCONT)


def test_two_frozen_nodes_cost_no_more_time_than_one(
    client: RedisCluster, cluster: list[Valkey]
) -> None:
    commands = [write(post) for post in POSTS]
    execute_on_nodes(client, commands)
    for node in cluster[:2]:
        node.signal(signal.SIGSTOP)
    try:
        with bounded(3 * TIMEOUT_S):
            found = execute_on_nodes(client, commands)
    finally:
        for node in cluster[:2]:
            node.signal(signal.SIGCONT)
    served = [post for post in POSTS if _port_of(client, post) == cluster[2].port]
    assert [p for p, r in zip(POSTS, found, strict=True) if not is_outage(r)] == served


def test_a_replica_that_took_over_gets_the_commands(replicated: list[Valkey]) -> None:
    with connect(settings(replicated[0])) as client:
        assert isinstance(client, RedisCluster)
        commands = [write(post) for post in POSTS]
        execute_on_nodes(client, commands)
        promoted = replicated[3]
        replicated[0].kill()
        wait_until(
            lambda: command(promoted, "ROLE")[0] == b"master", what="the replica to take over"
        )
        wait_until(lambda: is_complete(replicated[1]), what="the others to know")
        assert execute_on_nodes(client, commands) == [b"OK"] * len(POSTS)


def open_slot(client: RedisCluster, cluster: list[Valkey]) -> int:
    """Let the slot of a post be on its way from the first node to the second one."""
    post = next(p for p in POSTS if _port_of(client, p) == cluster[0].port)
    slot = slot_of(keys.post_summary(post))
    names = [command(node, "CLUSTER MYID").decode() for node in cluster]
    command(cluster[1], "CLUSTER", "SETSLOT", slot, "IMPORTING", names[0])
    command(cluster[0], "CLUSTER", "SETSLOT", slot, "MIGRATING", names[1])
    return post


def test_a_plain_command_follows_a_slot_that_is_on_its_way(
    client: RedisCluster, cluster: list[Valkey], by_redis_py: list[Words]
) -> None:
    post = open_slot(client, cluster)
    assert execute_on_nodes(client, [write(post), read(post), write(post + 1)])[1:] == [
        f"0,1,{post}".encode(),
        b"OK",
    ]
    slot = slot_of(keys.post_summary(post))
    assert command(cluster[1], "CLUSTER", "COUNTKEYSINSLOT", slot) == 1
    assert _port_of(client, post) == cluster[0].port  # until the move is done
    assert by_redis_py == []


def test_a_script_on_a_slot_that_is_on_its_way_is_unavailable(
    client: RedisCluster, cluster: list[Valkey]
) -> None:
    """Its keys may be on two nodes: TRYAGAIN, and after redis_timeout_s the caller is told."""
    post = open_slot(client, cluster)
    calls = [record(keys, 7, each, 1, 1_000) for each in POSTS]
    with bounded(3 * TIMEOUT_S):
        replies = run_many(client, calls)
    failed = [each for each, reply in zip(POSTS, replies, strict=True) if is_outage(reply)]
    assert failed == [each for each in POSTS if each % 100 == post % 100]
    with pytest.raises(ReactionsUnavailable, match="on its way"):
        record(keys, 7, post, 1, 1_000).run(client)
    for node in cluster[:2]:
        command(node, "CLUSTER", "SETSLOT", slot_of(keys.post_summary(post)), "STABLE")
    assert record(keys, 7, post, 1, 1_000).run(client)[0] == 4  # accepted


def _port_of(client: RedisCluster, post: int) -> int:
    node: Any = client.get_node_from_key(keys.post_summary(post))  # type: ignore[no-untyped-call]
    return int(node.port)
