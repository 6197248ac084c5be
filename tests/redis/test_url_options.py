"""Each option of ``redis_url`` has its effect on a server, or is refused by its name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.redis.connection import connect, execute
from tests.support.servers import running_redis

KEPT = "client_name=shop&protocol=3&socket_timeout=7&socket_connect_timeout=6&max_connections=9"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    with running_redis(folder, "cluster") as server:
        yield server


def info_of(client: Any) -> dict[str, str]:
    """What the server knows of the connection that this client's calls go over."""
    line = execute(client, ("CLIENT", "INFO")).decode()
    return dict(word.partition("=")[::2] for word in line.split())


def test_options_reach_the_server(redis_url: str) -> None:
    address = redis_url.rpartition("/")[0]
    with connect(Settings(redis_url=f"{address}/?db=2&{KEPT}")) as client:
        assert isinstance(client, Redis)
        found = info_of(client)
        assert (found["name"], found["db"], found["resp"]) == ("shop", "2", "3")
        pool = client.connection_pool
        used = pool.connection_kwargs
        assert (used["socket_timeout"], used["socket_connect_timeout"]) == (7, 6)
        assert pool.max_connections == 9


def test_options_reach_every_node_of_a_cluster(cluster: Valkey) -> None:
    address = cluster.url.rpartition("/")[0]
    settings = Settings(redis_url=f"{address}?{KEPT}", redis_cluster=True)
    with connect(settings) as client:
        for node in client.get_nodes():
            found = info_of(node.redis_connection)
            assert (found["name"], found["resp"]) == ("shop", "3")
            assert node.redis_connection.connection_pool.connection_kwargs["socket_timeout"] == 7


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h/0?foo=1", "option foo: .* does not know it"),
        ("redis://h/0?decode_responses=yes", "option decode_responses: this engine reads bytes"),
        ("redis://h/0?retry_on_timeout=yes", "option retry_on_timeout: .*what it repeats"),
        ("redis://h/0?host=h2", "option host: it belongs before"),
        ("redis://h/0?ssl_cert_reqs=none", "option ssl_cert_reqs: .*rediss://"),
        ("redis://h/0?socket_timeout=soon", "option socket_timeout: its value"),
        ("redis://h/0?protocol=4", "option protocol: its value must be 2 or 3"),
        ("redis://h/0?client_name=", "option client_name: it has no value"),
        ("redis://h/1?db=2", "gives db twice"),
        ("redis://:hunter2@h/0?password=x", "gives password twice"),
        ("redis://h/zero", "the number of a database"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_name(url: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says) as refused:
        connect(Settings(redis_url=url))
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://h/0?health_check_interval=9", "option health_check_interval: .*of a cluster"),
        ("redis://h/3", "a cluster has only 0"),
        ("unix:///run/redis", "redis://"),
    ],
)
def test_what_a_cluster_would_drop_is_refused_by_name(url: str, says: str) -> None:
    with pytest.raises(InvalidSettings, match=says):
        connect(Settings(redis_url=url, redis_cluster=True))
