"""The service limits the writes of each user, across all processes, but no reads."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from redis import Redis

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.web import create_app
from reactions.web.demo_auth import chosen_user
from tests.support.servers import running_redis
from tests.support.service_name import ServiceName, service_name
from tests.web.serving import check_problem, running, user

SLOW = {
    "web_writes_per_s": 0.01,
    "web_burst": 3,
}  # the next write is allowed after 100 s


def put(client: httpx.Client, post: int = 1) -> httpx.Response:
    return client.put(f"/v1/posts/{post}/reaction", json={"reaction": "like"})


@pytest.fixture
def two(settings: Settings) -> Iterator[tuple[str, str]]:
    """Two services on one Redis, as two processes would be."""
    slow = settings.model_copy(update=SLOW)
    with (
        Reactions(slow) as one,
        Reactions(slow) as other,
        running(create_app(one, chosen_user)) as first,
        running(create_app(other, chosen_user)) as second,
    ):
        yield first, second


def test_a_burst_passes_and_the_next_write_is_refused(two: tuple[str, str]) -> None:
    with user(two[0], 7) as here, user(two[1], 7) as there, user(two[0], 8) as bob:
        assert put(here).is_success
        assert put(there).is_success
        assert here.delete("/v1/posts/2/reaction").is_success
        for refused in (put(here), put(there), here.delete("/v1/posts/1/reaction")):
            detail = check_problem(refused, 429, "too-many-writes")
            assert 0 < int(refused.headers["Retry-After"]) <= 100
            assert f"try again in {refused.headers['Retry-After']} s" in detail
        assert put(bob).is_success
        assert here.get("/v1/summaries?post_id=1").json()["items"][0]["total"] == 2


def test_malformed_requests_do_not_count(two: tuple[str, str]) -> None:
    with user(two[0], 9) as carol:
        for _ in range(5):
            assert carol.put("/v1/posts/x/reaction", json={}).status_code == 422
        assert put(carol).is_success


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    folder: Path = tmp_path_factory.mktemp("cluster")
    with running_redis(folder, "cluster") as server:
        yield server


def test_on_a_cluster(cluster: Valkey, settings: Settings) -> None:
    on_it = settings.model_copy(
        update={
            **SLOW,
            "redis_url": Settings(redis_url=cluster.url).redis_url,
            "redis_cluster": True,
        }
    )
    with (
        Reactions(on_it) as client,
        running(create_app(client, chosen_user)) as address,
        user(address, 7) as alice,
    ):
        assert [put(alice, post).status_code for post in (1, 2, 3, 4)] == [200, 200, 200, 429]
        assert alice.get("/readyz").is_success


def test_readiness_follows_the_role_of_the_server(settings: Settings, valkey: Valkey) -> None:
    """An open connection to a server that became a replica answers every PING."""
    with (
        service_name(valkey.port) as name,
        Redis(port=valkey.port) as operator,
        Reactions(with_redis(settings, name)) as client,
        running(create_app(client, chosen_user)) as address,
        user(address, 7) as alice,
    ):
        assert alice.get("/readyz").is_success
        operator.replicaof("127.0.0.1", "1")
        try:
            detail = check_problem(alice.get("/readyz"), 503, "unavailable")
            assert "redis" in detail
        finally:
            operator.replicaof("NO", "ONE")
        assert alice.get("/readyz").is_success


def with_redis(settings: Settings, name: ServiceName) -> Settings:
    url = Settings(redis_url=f"redis://127.0.0.1:{name.port}/0").redis_url
    return settings.model_copy(update={"redis_url": url})
