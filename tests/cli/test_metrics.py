"""``reactions metrics``: what the stores hold, also while one of them is away."""

from __future__ import annotations

import os
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.process import Process, free_port
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.migrate import migrate
from tests.cli.conftest import POST, Run
from tests.support.engine import DEAD_BROKER, Engine
from tests.support.prometheus_text import Samples, parse_metrics
from tests.support.servers import running_postgres, running_redis
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow


def test_metrics_are_what_the_stores_have(filled: Engine, run: Run) -> None:
    with DutyRuns(filled.database).run("audit") as audit:
        assert audit is not None
        audit.found["ledger"], audit.repaired, audit.looked_at = 2, 2, 50
    filled.dead_letters.add(str(POST), "70", "2:8", "it was full")
    filled.reactions.react(30, POST, "like")
    result = run("metrics", "--once")
    assert result.exit_code == 0
    found = parse_metrics(result.stdout)
    assert found["reactions_duty_runs_total"]["duty=audit,outcome=ok,space=post"] == 1
    assert found["reactions_duty_found_total"]["duty=audit,kind=ledger,space=post"] == 2
    assert found["reactions_duty_repaired_total"]["duty=audit,space=post"] == 2
    assert found["reactions_duty_looked_at_total"]["duty=audit,space=post"] == 50
    assert found["reactions_duty_last_success_timestamp_seconds"]["duty=audit,space=post"] > 1.7e9
    assert found["reactions_dead_letters"]["space=post"] == 1
    assert found["reactions_dirty_posts"]["shard=42,space=post"] == 1
    assert found["reactions_dirty_posts"]["shard=41,space=post"] == 0
    assert 0 <= found["reactions_oldest_change_seconds"]["shard=42,space=post"] < 60
    assert found["reactions_lag_seconds_bucket"]["le=+Inf,space=post"] == 21
    assert found["reactions_lag_seconds_bucket"]["le=300.0,space=post"] == 21


@contextmanager
def exporter(settings: Settings, log: Path) -> Iterator[Callable[[], dict[str, Samples]]]:
    """Serve the metrics of the stores; scrape within the time-out of prometheus.yml."""
    port = free_port()
    process = Process("metrics", log)
    command = ["-m", "reactions", "metrics", "--only", "stores", "--port", str(port)]
    process.launch([sys.executable, *command], {**os.environ, **settings.environment()})

    def scrape() -> dict[str, Samples]:
        address = f"http://127.0.0.1:{port}/metrics"
        with urllib.request.urlopen(address, timeout=patience(10)) as reply:
            return parse_metrics(reply.read().decode())

    try:
        wait_until(lambda: "serving" in log.read_text(), 30, "it serves")
        yield scrape
    finally:
        process.stop()


def test_one_store_is_scraped_while_the_other_is_away(tmp_path: Path) -> None:
    log = tmp_path / "metrics.log"
    with running_redis(tmp_path, "valkey") as valkey, running_postgres(18) as postgres:
        settings = Settings(
            redis_url=valkey.url,
            database_url=postgres.url,
            broker_url=DEAD_BROKER,
            redis_timeout_s=patience(2),  # a slow store is not away
            database_timeout_s=patience(4),
        )
        migrate(settings)
        with Reactions(settings) as client:
            client.react(7, 1042, "love")
        with exporter(settings, log) as scrape:
            both = scrape()
            assert both["reactions_store_up"] == {"store=redis": 1, "store=postgresql": 1}
            postgres.stop()
            of_redis = scrape()
            assert of_redis["reactions_store_up"] == {"store=redis": 1, "store=postgresql": 0}
            age = of_redis["reactions_oldest_change_seconds"]["shard=42,space=post"]
            assert age > both["reactions_oldest_change_seconds"]["shard=42,space=post"] > 0
            postgres.start()
            valkey.stop()
            of_postgres = scrape()
            assert of_postgres["reactions_store_up"] == {"store=redis": 0, "store=postgresql": 1}
            assert both.keys() == of_redis.keys() | of_postgres.keys()
            assert of_postgres["reactions_dead_letters"] == {"space=post": 0}
            valkey.start()
            assert scrape().keys() == both.keys()
    said = [line for line in log.read_text().splitlines() if "serving" not in line]
    assert [line.partition(" is not")[0] for line in said] == [
        "WARNING reactions.ops.metrics: postgresql",
        "WARNING reactions.ops.metrics: redis",
    ]
