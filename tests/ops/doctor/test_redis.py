"""``reactions.ops.doctor.redis``: each option that may lose reactions, and each kind of server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from redis import Redis

from reactions.core.layout import CURRENT
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.ops.doctor import Finding, State
from reactions.ops.doctor.redis import check_redis
from reactions.redis.keys import default_keys as keys
from reactions.redis.server_options import VALKEY_OPTIONS
from tests.ops.doctor.examining import findings, with_urls
from tests.support.engine import Engine
from tests.support.guarded import running_guarded
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@contextmanager
def server(folder: Path, options: Mapping[str, str]) -> Iterator[Valkey]:
    running = Valkey(folder, options={**VALKEY_OPTIONS, **options})
    running.start()
    try:
        yield running
    finally:
        running.stop()


def test_a_server_that_may_lose_reactions(settings: Settings, tmp_path: Path) -> None:
    options = {
        "maxmemory-policy": "allkeys-lru",
        "appendonly": "no",
        "hash-max-listpack-entries": "128",
    }
    with server(tmp_path, options) as valkey, Redis(port=valkey.port) as client:
        bad = with_urls(settings, redis_url=valkey.url, broker_url=valkey.url)
        client.config_set("maxmemory", int(client.info("memory")["used_memory"] * 1.03))
        found = findings(bad)
        assert found["redis eviction"].state is State.FAILURE
        assert "CONFIG SET maxmemory-policy volatile-lru" in found["redis eviction"].remedy
        assert found["broker eviction"].state is State.FAILURE
        assert found["redis persistence"] == Finding(
            "redis persistence",
            State.FAILURE,
            "none: a restart loses everything",
            found["redis persistence"].remedy,
        )
        assert found["redis listpacks"].state is State.WARNING
        assert found["redis memory"].state is State.FAILURE
        client.config_set("save", "3600 1")
        assert findings(bad)["redis persistence"].state is State.WARNING
        # The remedies help.
        client.config_set("maxmemory-policy", "volatile-lru")
        client.config_set("maxmemory", "100mb")
        client.config_set("appendonly", "yes")
        client.config_set("hash-max-listpack-entries", "512")
        client.config_set("appendfsync", "no")
        assert findings(bad)["redis persistence"].state is State.WARNING
        client.config_set("appendfsync", "everysec")
        wait_until(lambda: findings(bad)["redis persistence"].state is State.OK)
        for check in ("eviction", "memory", "listpacks"):
            assert findings(bad)[f"redis {check}"].state is State.OK


def test_a_replica_is_a_failure(settings: Settings, tmp_path: Path) -> None:
    """It answers, and it refuses every write."""
    with server(tmp_path, {}) as valkey, Redis(port=valkey.port) as client:
        urls = with_urls(settings, redis_url=valkey.url, broker_url=valkey.url)
        assert findings(urls)["redis role"].state is State.OK
        client.replicaof("127.0.0.1", "1")
        found = findings(urls)
        for check, setting in (("redis", "REDIS_URL"), ("broker", "BROKER_URL")):
            role = found[f"{check} role"]
            assert role.state is State.FAILURE
            assert "a replica of 127.0.0.1:1" in role.found
            assert f"REACTIONS_{setting}" in role.remedy


def test_a_change_that_has_been_pending_for_long(engine: Engine) -> None:
    engine.reactions.react(1, 1042, "like")
    assert findings(engine.settings)["oldest pending"].state is State.OK
    for age_s, state in ((60, State.WARNING), (600, State.FAILURE)):
        since = engine.clock.now_us() - age_s * 1e6
        engine.client.zadd(keys.outbox_dirty(42), {"1042": since})
        assert findings(engine.settings)["oldest pending"].state is state


@pytest.mark.parametrize(
    ("written", "state", "remedy"),
    [
        ("", State.OK, ""),
        (str(CURRENT), State.OK, ""),
        ("0|0", State.FAILURE, "install a version that knows both"),
        ("9|1", State.WARNING, "install the version"),
        ("9|9", State.FAILURE, "install the version"),
    ],
)
def test_the_layout_of_the_keys(engine: Engine, written: str, state: State, remedy: str) -> None:
    if written:
        engine.client.set(keys.outbox_layout(), written)
    else:
        engine.client.delete(keys.outbox_layout())
    checks = {f.check: f for f in check_redis(engine.client, engine.settings)}
    found = checks["redis layout"]
    assert found.state is state
    assert found.remedy.startswith(remedy)


def test_a_check_without_the_right_to_it_is_not_known(settings: Settings, tmp_path: Path) -> None:
    """A worker of ``deploy/redis-users.acl`` may run INFO, but not CONFIG."""
    with running_guarded(tmp_path, "valkey", ("reactions-worker",)) as valkey:
        found = findings(with_urls(settings, redis_url=valkey.url_of("reactions-worker")))
    assert found["redis eviction"].state is State.OK
    assert found["oldest pending"].state is State.OK
    for check in ("redis listpacks", "redis persistence"):
        assert found[check].found.startswith("not known")
        assert "deploy/redis-users.acl" in found[check].remedy


@pytest.mark.parametrize("kind", ["redis", "cluster"])
def test_every_kind_of_server(settings: Settings, tmp_path: Path, kind: str) -> None:
    with running_redis(tmp_path, kind) as valkey:
        found = findings(
            with_urls(settings, redis_url=valkey.url).model_copy(
                update={"redis_cluster": kind == "cluster"}
            )
        )
    name = f"redis 127.0.0.1:{valkey.port}" if kind == "cluster" else "redis"
    for check in ("version", "role", "eviction", "persistence", "memory", "listpacks"):
        assert found[f"{name} {check}"].state is State.OK, asdict(found[f"{name} {check}"])
