"""Metrics, dashboard, alerts and runbook: names that exist, and samples while there is load.

What a real Prometheus makes of them is in test_dashboard.py.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.process import Process, free_port
from reactions.demo.stack import Stack
from reactions.postgres.migrate import migrate
from tests.support.engine import DEAD_BROKER
from tests.support.servers import missing, running_postgres, running_redis
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
DASHBOARD = ROOT / "deploy" / "grafana" / "reactions.json"
PROMETHEUS = ROOT / "deploy" / "prometheus"

Samples = dict[str, float]

LOAD = """
import sys
from concurrent.futures import ProcessPoolExecutor

import reactions
from reactions.api.default import default_client


def write(first):
    for user in range(first, first + 30):
        reactions.react(user, 1042, "love")
        reactions.react(user, 2100 + user, "wow")
    reactions.react_many([(first, post, "sad") for post in range(2000, 2050)])
    reactions.delete_post(99)
    try:
        reactions.react(first, 99, "like")
    except reactions.PostDeleted:
        pass
    default_client().close()


def read():
    for _ in range(3):
        reactions.summaries([1042, 7, 8], user_id=1)
        reactions.recent(7)
        reactions.history(1)
        reactions.uniques(7)
        reactions.reactors(1042)


if __name__ == "__main__":
    if sys.argv[1] == "write":
        with ProcessPoolExecutor(2) as pool:
            list(pool.map(write, (1, 31)))
    else:
        read()
"""


def run(stack: Stack, *command: str) -> str:
    environment = {
        **os.environ,
        **stack.settings.environment(),
        "PROMETHEUS_MULTIPROC_DIR": str(stack.metrics),
    }
    result = subprocess.run(
        [sys.executable, *command], env=environment, capture_output=True, text=True, check=True
    )
    return result.stdout


def scrape(stack: Stack, *options: str) -> dict[str, Samples]:
    """Name of a series -> labels as text -> value, as Prometheus has them; Flower's too."""
    ours = run(stack, "-m", "reactions", "metrics", "--once", *options)
    address = stack.flower_url.partition("@")[2]
    with urllib.request.urlopen(f"http://{address}metrics") as reply:
        lines = reply.read().decode().splitlines()
    return parsed(ours, "".join(f"{line}\n" for line in lines if "flower_" in line))


def parsed(*texts: str) -> dict[str, Samples]:
    found: dict[str, Samples] = {}
    for family in chain(*map(text_string_to_metric_families, texts)):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = sample.value
    return found


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(tmp_path_factory.mktemp("load")) / "load.py"
    path.write_text(LOAD)
    return path


@pytest.fixture(scope="module")
def samples(stack: Stack, script: Path) -> dict[str, Samples]:
    """While there is load: several web processes, a worker of two, all duties."""
    run(stack, str(script), "write")
    wait_until(
        lambda: sum(scrape(stack)["reactions_dirty_posts"].values()) == 0, 60, "all is durable"
    )
    run(stack, str(script), "read")
    for duty in ("audit", "refresh", "virality"):
        _celery_call(stack, f"reactions.{duty}")
    _celery_call(stack, "reactions.reconcile", "viral")
    ran = {f"duty={duty},outcome=ok" for duty in ("audit", "refresh", "virality", "sweep")}
    ran.add("duty=reconcile-viral,outcome=ok")
    wait_until(
        lambda: ran <= {k for k, v in scrape(stack)["reactions_duty_runs_total"].items() if v},
        60,
        "duties ran",
    )
    return scrape(stack)


def _celery_call(stack: Stack, task: str, *arguments: str) -> None:
    run(
        stack,
        *("-m", "celery", "-A", "reactions.tasks", "call", task),
        f"--args={json.dumps(arguments)}",
    )


def test_the_counts_of_all_processes_are_summed(samples: dict[str, Samples]) -> None:
    outcomes = samples["reactions_outcomes_total"]
    timed = samples["reactions_react_seconds_count"][""]
    assert outcomes["outcome=deleted"] == 2
    assert sum(outcomes.values()) == 2 * (60 + 50 + 1)
    assert timed == 2 * 61
    assert samples["reactions_react_seconds_bucket"]["le=+Inf"] == timed
    assert 0 < samples["reactions_react_seconds_sum"][""] < 60
    # Each reaction is a row of some batch, unless one that came before it took its place.
    assert 0 < samples["reactions_batch_rows_sum"][""] <= sum(outcomes.values()) + 50
    assert samples["reactions_batch_seconds_count"] == samples["reactions_batch_rows_count"]
    assert samples["reactions_wakeup_messages_total"]["result=published"] >= 1
    assert samples["reactions_tier_changes_total"]["tier=viral"] >= 1


def test_the_five_of_the_brief(samples: dict[str, Samples]) -> None:
    reads = samples["reactions_cache_reads_total"]
    assert reads["result=hit,tier=viral"] >= 1
    assert samples["reactions_posts"]["tier=viral"] == 1
    assert samples["reactions_posts"]["tier=regular"] > 50
    shards = samples["reactions_shard_memory_bytes"]
    assert len(shards) == 100
    assert 0 < sum(shards.values()) <= sum(samples["reactions_redis_used_bytes"].values())
    assert shards["shard=42"] > 0
    assert sum(samples["reactions_fallback_queries_total"].values()) >= 3
    assert samples["reactions_fallback_seconds_count"][""] >= 3
    assert samples["reactions_duty_seconds_total"]["duty=reconcile-viral"] > 0


def test_a_series_is_there_before_its_first_event(samples: dict[str, Samples]) -> None:
    """Also of what did not happen; and what happens has no other labels than those."""
    for name, labels in {
        "reactions_wakeup_messages_total": {"result=published", "result=failed"},
        "reactions_cache_reads_total": {
            f"result={result},tier={tier}"
            for result in ("hit", "miss")
            for tier in ("regular", "viral")
        },
        "reactions_fallback_queries_total": {
            f"read={read}" for read in ("summaries", "reactors", "history", "uniques")
        },
        "reactions_tier_changes_total": {f"tier={tier}" for tier in ("regular", "viral", "rising")},
    }.items():
        assert samples[name].keys() == labels


def test_names_are_by_the_conventions(samples: dict[str, Samples]) -> None:
    ours = {name for name in samples if name.startswith("reactions_")}
    for name in ours:
        assert re.fullmatch(r"reactions_[a-z_]+", name)
        assert not re.search(r"_(ms|us|milliseconds|kb|mb)(_|$)", name)
    assert max(len(samples[name]) for name in ours) <= 100  # a shard at most; no user, no post


def test_halves_can_be_scraped_apart(stack: Stack, samples: dict[str, Samples]) -> None:
    assert samples
    stores, processes = scrape(stack, "--only", "stores"), scrape(stack, "--only", "processes")
    assert "reactions_dead_letters" in stores
    assert "reactions_outcomes_total" not in stores
    assert "reactions_outcomes_total" in processes
    assert "reactions_dead_letters" not in processes


# -- without a store ---------------------------------------------------------------------------


@contextmanager
def exporter(settings: Settings, log: Path) -> Iterator[Callable[[], dict[str, Samples]]]:
    """As Prometheus asks it, each time within the time-out of its configuration."""
    port = free_port()
    process = Process("metrics", log)
    command = ["-m", "reactions", "metrics", "--only", "stores", "--port", str(port)]
    process.launch([sys.executable, *command], {**os.environ, **settings.environment()})

    def scrape() -> dict[str, Samples]:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            return parsed(reply.read().decode())

    try:
        wait_until(lambda: "serving" in log.read_text(), 30, "it serves")
        yield scrape
    finally:
        process.stop()


def test_what_one_store_knows_is_there_while_the_other_is_away(tmp_path: Path) -> None:
    log = tmp_path / "metrics.log"
    with running_redis(tmp_path, "valkey") as valkey, running_postgres(18) as postgres:
        settings = Settings(redis_url=valkey.url, database_url=postgres.url, broker_url=DEAD_BROKER)
        migrate(settings)
        with Reactions(settings) as client:
            client.react(7, 1042, "love")
        with exporter(settings, log) as scrape:
            both = scrape()
            assert both["reactions_store_up"] == {"store=redis": 1, "store=postgresql": 1}
            postgres.stop()
            of_redis = scrape()
            assert of_redis["reactions_store_up"] == {"store=redis": 1, "store=postgresql": 0}
            age = of_redis["reactions_oldest_change_seconds"]["shard=42"]
            assert age > both["reactions_oldest_change_seconds"]["shard=42"] > 0
            postgres.start()
            valkey.stop()
            of_postgres = scrape()
            assert of_postgres["reactions_store_up"] == {"store=redis": 0, "store=postgresql": 1}
            assert both.keys() == of_redis.keys() | of_postgres.keys()
            assert of_postgres["reactions_dead_letters"] == {"": 0}
            valkey.start()
            assert scrape().keys() == both.keys()
    said = [line for line in log.read_text().splitlines() if "serving" not in line]
    assert [line.partition(" is not")[0] for line in said] == [
        "WARNING reactions.metrics: postgresql",
        "WARNING reactions.metrics: redis",
    ]


# -- the files ---------------------------------------------------------------------------------


def names(query: str) -> set[str]:
    """The metrics of a PromQL expression: words with our prefixes outside of labels."""
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\b(by|without) \([^)]*\)", "", query)
    return set(re.findall(r"\b(?:reactions|flower)_\w+", bare))


def alerts() -> list[Any]:
    (group,) = yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def panels() -> list[Any]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_a_panel_asks_for_what_is_there(panel: Any, samples: dict[str, Samples]) -> None:
    for target in panel["targets"]:
        found = names(target["expr"])
        assert found
        for name in found:
            assert samples.get(name), f"{name} has no samples"


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_an_alert_asks_for_what_is_there(alert: Any, samples: dict[str, Samples]) -> None:
    found = names(alert["expr"])
    assert found
    assert found <= samples.keys()


def test_every_duty_of_beat_is_watched(samples: dict[str, Samples]) -> None:
    """`rebuild` is none of Beat's: it comes after a loss of Redis."""
    succeeded = samples["reactions_duty_last_success_timestamp_seconds"]
    expressions = " ".join(alert["expr"] for alert in alerts())
    watched = re.findall(r'success_timestamp_seconds\{duty=~"([^"]*)"', expressions)
    listed = {f"duty={duty}" for duty in "|".join(watched).split("|")}
    assert succeeded.keys() - {"duty=rebuild"} <= listed


def test_every_alert_has_its_page_and_every_page_its_alert() -> None:
    text = (ROOT / "docs" / "runbook.md").read_text()
    pages = re.split(r"^## ", text, flags=re.MULTILINE)[1:]
    by_name = {page.partition("\n")[0]: page for page in pages}
    assert set(by_name) == {alert["alert"] for alert in alerts()}
    for page in by_name.values():
        for part in ("**Means**", "**Look at**", "**Do**"):
            assert part in page
    for alert in alerts():
        assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("warning", "critical")


def promtool(*command: str | Path, folder: Path | None = None) -> None:
    program = shutil.which("promtool")
    if program is None:
        missing("promtool is not installed: apt-get install prometheus")
    ran = subprocess.run(
        [program, *command], cwd=folder, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_promtool_accepts_the_rules_and_the_configuration(tmp_path: Path) -> None:
    for given in PROMETHEUS.iterdir():
        shutil.copy(given, tmp_path)
    (tmp_path / "flower-password").write_text("s3cret")
    promtool("check", "rules", "alerts.yml", folder=tmp_path)
    promtool("check", "config", "prometheus.yml", folder=tmp_path)


def test_alerts_fire_when_they_should_and_not_before() -> None:
    promtool("test", "rules", Path(__file__).parent / "alerts_test.yml")
