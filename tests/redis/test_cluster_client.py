"""cluster_client.py: a cluster is found by any of the nodes that its URL names."""

from __future__ import annotations

import pytest

from reactions import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.core.urls import divide
from reactions.demo.embedded import Valkey
from reactions.demo.process import free_port
from reactions.redis.connection import connect
from tests.support.engine import DEAD_BROKER


@pytest.mark.parametrize(
    ("url", "first", "others"),
    [
        ("redis://h/0", "redis://h/0", []),
        ("redis://u:p@h1:7000,h2:7001,h3/0?protocol=3", "redis://u:p@h1:7000/0?protocol=3",
         [("h2", 7001), ("h3", 6379)]),
        ("rediss://h1,[::1]:7001", "rediss://h1", [("::1", 7001)]),
    ],
)  # fmt: skip
def test_a_url_with_several_nodes(url: str, first: str, others: list[tuple[str, int]]) -> None:
    assert divide(url) == (first, others)


def seeds(*ports: int) -> Settings:
    url = f"redis://{','.join(f'127.0.0.1:{port}' for port in ports)}/0"
    return Settings(redis_url=url, redis_cluster=True, broker_url=DEAD_BROKER)


@pytest.mark.slow
def test_a_cluster_is_found_by_the_nodes_that_answer(cluster: list[Valkey]) -> None:
    settings = seeds(free_port(), *(node.port for node in cluster))
    with connect(settings) as client:
        assert client.ping()
    cluster[1].kill()
    for _ in range(5):  # redis-py begins with any of them
        with Reactions(settings) as reactions:
            answered = 0
            for post in range(1, 31):
                try:
                    reactions.react(1, post, "like")
                except ReactionsUnavailable:
                    continue
                answered += 1
            assert 5 < answered < 30
    for node in cluster:
        node.kill()
    with pytest.raises(ReactionsUnavailable, match="not reachable"):
        connect(settings)
