"""node_pipeline.py: a silent node is not waited for by one call after the other."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from redis import Redis
from redis.exceptions import TimeoutError as RedisTimeoutError

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection import connect
from reactions.redis.node_pipeline import NodePipeline
from reactions.redis.wire import pack
from tests.support.waiting import patience, wait_until

TIMEOUT_S = 0.3

PING = [pack(("PING",))]


@pytest.fixture
def node(valkey: Valkey) -> Iterator[Redis]:
    with connect(Settings(redis_url=valkey.url, redis_timeout_s=patience(TIMEOUT_S))) as client:
        assert isinstance(client, Redis)
        yield client


def exchange(node: Redis) -> NodePipeline:
    """Send a PING and read the answer, if there is one."""
    pipeline = NodePipeline(node)
    pipeline.places.append(0)
    pipeline.send(PING)
    found = pipeline.read(late=False)
    pipeline.close()
    assert (found is None) == (pipeline.failure is not None)
    return pipeline


def test_a_silent_node_may_be_asked_again_once(node: Redis, valkey: Valkey) -> None:
    assert exchange(node).failure is None
    valkey.signal(signal.SIGSTOP)
    try:
        first, second, third = exchange(node), exchange(node), exchange(node)
    finally:
        valkey.signal(signal.SIGCONT)
    assert first.may_retry  # the connection may be dead, and the server alive
    assert isinstance(second.failure, RedisTimeoutError)
    assert not second.may_retry
    assert "a moment ago" in str(third.failure)
    wait_until(lambda: exchange(node).failure is None, what="the node to be asked again")


def test_there_is_no_time_left(node: Redis) -> None:
    pipeline = NodePipeline(node)
    pipeline.places.append(0)
    pipeline.give_up()
    assert pipeline.read(late=False) is None
    assert "in the time of the call" in str(pipeline.failure)
    assert exchange(node).failure is None
