"""The relay: no caller waits on the broker, one message for many, and a breaker."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from redis import Redis

from reactions.api.relay import Relay
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.server_options import BROKER_OPTIONS
from tests.support.engine import DEAD_BROKER
from tests.support.waiting import bounded, patience, wait_until

LONG_S = 60.0
"""A relay that closes publishes what waits, or gives up after so long; a second is the default."""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    server = Valkey(tmp_path_factory.mktemp("broker"), "broker", options=BROKER_OPTIONS)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def queue(broker: Valkey) -> Iterator[Redis]:
    with Redis(port=broker.port) as client:
        client.flushall()
        yield client


def relay_to(url: str, interval: float = 0.05) -> Relay:
    return Relay(Settings(broker_url=url, wake_interval_s=interval))


def sent(queue: Redis, name: str) -> list[dict[str, Any]]:
    """The arguments of each message in a queue, oldest first."""
    messages = cast("list[bytes]", queue.lrange(name, 0, -1))[::-1]
    bodies = [json.loads(message)["body"] for message in messages]
    return [json.loads(base64.b64decode(body))[1] for body in bodies]


def shards(queue: Redis) -> list[list[int]]:
    """The shards of each message in the persistence queue, oldest first."""
    return [message["shards"] for message in sent(queue, "persistence")]


def test_a_burst_is_one_message_with_each_shard_once(broker: Valkey, queue: Redis) -> None:
    relay = relay_to(broker.url, 0.2)
    for shard in [5, 3, 5, 99, 3] * 100:
        relay.request(shard)
    wait_until(lambda: queue.llen("persistence"))
    relay.close()
    assert shards(queue) == [[3, 5, 99]]
    stats = relay.stats()
    assert (stats.requested, stats.published, stats.shards_published) == (500, 1, 3)
    assert (stats.failed, stats.dropped) == (0, 0)


def test_a_request_for_a_load_is_published_at_once(broker: Valkey, queue: Redis) -> None:
    """A user reads that post now. The shards that wait are published with it."""
    relay = relay_to(broker.url, 10.0)
    relay.request(7)
    relay.request_load(1042)
    wait_until(lambda: queue.llen("persistence") and queue.llen("maintenance"))
    assert shards(queue) == [[7]]
    relay.request(8)
    assert not wait_briefly(lambda: queue.llen("persistence") > 1)
    relay.close(LONG_S)
    assert shards(queue) == [[7], [8]]


def test_each_space_has_messages_of_its_own(broker: Valkey, queue: Redis) -> None:
    """Those of the default space do not name it: workers of an older version know them."""
    relay = relay_to(broker.url, 10.0)
    for shard, space in ((5, "post"), (5, "comment"), (3, "comment")):
        relay.request(shard, space)
    relay.request_load(1042, "comment", hurry=False)
    relay.close(LONG_S)
    assert sent(queue, "persistence") == [
        {"shards": [5]},
        {"shards": [3, 5], "space": "comment"},
    ]
    assert sent(queue, "maintenance") == [{"posts": [1042], "users": [], "space": "comment"}]
    assert relay.stats().shards_published == 3


def test_warmed_posts_are_gathered(broker: Valkey, queue: Redis) -> None:
    """Each call of ``warm`` may have one post; a message for each would flood the workers."""
    relay = relay_to(broker.url, 10.0)
    for post_id in range(1, 101):
        relay.request_load(post_id, hurry=False)
    assert not wait_briefly(lambda: queue.llen("maintenance") > 0)
    relay.close(LONG_S)
    (message,) = cast("list[bytes]", queue.lrange("maintenance", 0, -1))
    posts = json.loads(base64.b64decode(json.loads(message)["body"]))[1]["posts"]
    assert posts == list(range(1, 101))


def wait_briefly(condition: Callable[[], bool]) -> bool:
    """Return whether the condition became true within 0.2 s."""
    try:
        wait_until(condition, 0.2)
    except AssertionError:
        return False
    return True


def test_requests_of_many_threads_are_all_published(broker: Valkey, queue: Redis) -> None:
    relay = relay_to(broker.url, 0.001)

    def request(first: int) -> None:
        for shard in range(first, 100, 8):
            relay.request(shard)

    threads = [threading.Thread(target=request, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_until(lambda: {s for message in shards(queue) for s in message} == set(range(100)))
    relay.close()
    assert relay.stats().dropped == 0


def test_no_caller_waits_on_a_dead_broker() -> None:
    relay = relay_to(DEAD_BROKER, 0.001)
    slowest = max(_timed(relay, shard % 100) for shard in range(2000))
    wait_until(lambda: relay.stats().failed >= 1)
    assert slowest < patience(0.3)  # less than one time-out of the broker
    assert relay.stats().failed <= 3  # the breaker prevents more attempts
    relay.close()
    stats = relay.stats()
    assert stats.published == 0
    assert stats.dropped > 0


def test_no_caller_waits_on_a_broker_that_takes_no_connection() -> None:
    """The backlog of the listener is full, so connecting hangs, as with dropped packets."""
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
        relay = relay_to(f"redis://127.0.0.1:{port}/0", 0.001)
        slowest = max(_timed(relay, shard % 100) for shard in range(2000))
        with bounded(1.5):
            relay.close(1.0)
        assert slowest < patience(0.3)
        for filler in fillers:
            filler.close()


def test_failed_wake_ups_are_published_when_the_broker_returns(tmp_path: Path) -> None:
    server = Valkey(tmp_path, "broker", options=BROKER_OPTIONS)
    relay = relay_to(server.url, 0.01)
    relay.request(7)
    wait_until(lambda: relay.stats().failed >= 1)
    relay.request(8)
    server.start()
    try:
        with Redis(port=server.port) as queue:
            wait_until(lambda: queue.llen("persistence"))
            relay.close()
            assert {shard for message in shards(queue) for shard in message} == {7, 8}
    finally:
        server.stop()


def test_the_relay_tries_again_to_start_its_thread(
    broker: Valkey, queue: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is at its limit of threads. The reaction is recorded, so nothing is raised."""
    relay = relay_to(broker.url, 0.01)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_more_threads)
        relay.request(1)
    assert relay.stats().failed == 1
    relay.request(2)
    relay.close(LONG_S)
    assert shards(queue) == [[1, 2]]


def _no_more_threads(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_close_publishes_the_waiting_shards(broker: Valkey, queue: Redis) -> None:
    relay = relay_to(broker.url, 10)
    relay.request(1)
    relay.close(LONG_S)
    assert shards(queue) == [[1]]
    relay.request(2)  # too late: counted as dropped, and left to the sweep
    assert relay.stats().dropped == 1
    relay.close()


def test_a_forked_child_starts_with_an_empty_relay(broker: Valkey, queue: Redis) -> None:
    relay = relay_to(broker.url, 0.01)
    relay.request(1)
    wait_until(lambda: relay.stats().published == 1)
    child = os.fork()
    if child == 0:
        relay.request(2)
        relay.close(LONG_S)
        stats = relay.stats()
        os._exit(0 if (stats.requested, stats.published) == (1, 1) else 1)
    assert os.waitpid(child, 0)[1] == 0
    relay.request(3)
    relay.close(LONG_S)
    assert sorted(shards(queue)) == [[1], [2], [3]]


def _timed(relay: Relay, shard: int) -> float:
    began = time.perf_counter()
    relay.request(shard)
    return time.perf_counter() - began
