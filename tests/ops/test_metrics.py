"""``reactions.ops.metrics``: samples of each metric under load, for each panel and each alert.

test_dashboard.py lets a real Prometheus scrape them.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from reactions.demo.stack import Stack
from tests.ops.prometheus import alerts, panels
from tests.support.prometheus_text import Samples, parse_metrics
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LOAD = """
import sys
from concurrent.futures import ProcessPoolExecutor

# close() gives the relay a second to publish. A slow machine needs longer to import these.
import kombu.transport.redis
import reactions.core.celery_app

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
    """Name of a series -> labels as text -> value, those of Flower included."""
    ours = run(stack, "-m", "reactions", "metrics", "--once", *options)
    address = stack.flower_url.partition("@")[2]
    with urllib.request.urlopen(f"http://{address}metrics") as reply:
        lines = reply.read().decode().splitlines()
    return parse_metrics(ours, "".join(f"{line}\n" for line in lines if "flower_" in line))


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = Path(tmp_path_factory.mktemp("load")) / "load.py"
    path.write_text(LOAD)
    return path


@pytest.fixture(scope="module")
def samples(stack: Stack, script: Path) -> dict[str, Samples]:
    """Scraped after load from several web processes, a worker of two processes, and duties."""
    run(stack, str(script), "write")
    wait_until(
        lambda: sum(scrape(stack)["reactions_dirty_posts"].values()) == 0, 60, "all is durable"
    )
    published = "reactions_wakeup_messages_total"
    wait_until(lambda: scrape(stack)[published]["result=published"], 60, "a wake-up is counted")
    run(stack, str(script), "read")
    for duty in ("audit", "refresh", "virality"):
        _celery_call(stack, f"reactions.{duty}")
    _celery_call(stack, "reactions.reconcile", "viral")
    quick = "audit", "refresh", "virality", "sweep"
    ran = {f"duty={duty},outcome=ok,space=post" for duty in quick}
    ran.add("duty=reconcile-viral,outcome=ok,space=post")
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
    # Each reaction is a row of some batch, unless a later one replaced it before the drain.
    assert 0 < samples["reactions_batch_rows_sum"][""] <= sum(outcomes.values()) + 50
    assert samples["reactions_batch_seconds_count"] == samples["reactions_batch_rows_count"]
    assert samples["reactions_wakeup_messages_total"]["result=published"] >= 1
    assert samples["reactions_tier_changes_total"]["tier=viral"] >= 1


def test_cache_reads_tiers_memory_fallbacks_and_duties(samples: dict[str, Samples]) -> None:
    reads = samples["reactions_cache_reads_total"]
    assert reads["result=hit,tier=viral"] >= 1
    assert samples["reactions_posts"]["space=post,tier=viral"] == 1
    assert samples["reactions_posts"]["space=post,tier=regular"] > 50
    shards = samples["reactions_shard_memory_bytes"]
    assert len(shards) == 100
    assert 0 < sum(shards.values()) <= sum(samples["reactions_redis_used_bytes"].values())
    assert shards["shard=42"] > 0
    assert sum(samples["reactions_fallback_queries_total"].values()) >= 3
    assert samples["reactions_fallback_seconds_count"][""] >= 3
    assert samples["reactions_duty_seconds_total"]["duty=reconcile-viral,space=post"] > 0


def test_a_series_is_there_before_its_first_event(samples: dict[str, Samples]) -> None:
    """Even if the event never happens; and an event adds no other labels."""
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


def test_names_follow_the_conventions_of_prometheus(samples: dict[str, Samples]) -> None:
    ours = {name for name in samples if name.startswith("reactions_")}
    for name in ours:
        assert re.fullmatch(r"reactions_[a-z_]+", name)
        assert not re.search(r"_(ms|us|milliseconds|kb|mb)(_|$)", name)
    assert (
        max(len(samples[name]) for name in ours) <= 100
    )  # labels name a shard at most, never a user or a post


def test_each_half_can_be_scraped_alone(stack: Stack, samples: dict[str, Samples]) -> None:
    assert samples
    stores, processes = scrape(stack, "--only", "stores"), scrape(stack, "--only", "processes")
    assert "reactions_dead_letters" in stores
    assert "reactions_outcomes_total" not in stores
    assert "reactions_outcomes_total" in processes
    assert "reactions_dead_letters" not in processes


def names(query: str) -> set[str]:
    """The metrics of a PromQL expression: words with our prefixes, outside of labels."""
    bare = re.sub(r"\{[^}]*\}|\"[^\"]*\"|\b(by|without) \([^)]*\)", "", query)
    return set(re.findall(r"\b(?:reactions|flower)_\w+", bare))


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_each_metric_of_a_panel_has_samples(panel: Any, samples: dict[str, Samples]) -> None:
    for target in panel["targets"]:
        found = names(target["expr"])
        assert found
        for name in found:
            assert samples.get(name), f"{name} has no samples"


def test_each_metric_is_on_the_dashboard(samples: dict[str, Samples]) -> None:
    targets = [target for panel in panels() for target in panel["targets"]]
    shown = {name for target in targets for name in names(target["expr"])}
    parts = re.compile(r"_(bucket|sum|count)$")
    ours = {parts.sub("", name) for name in samples if name.startswith("reactions_")}
    assert ours <= {parts.sub("", name) for name in shown}


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_each_metric_of_an_alert_has_samples(alert: Any, samples: dict[str, Samples]) -> None:
    found = names(alert["expr"])
    assert found
    assert found <= samples.keys()


def test_every_duty_of_beat_is_watched(samples: dict[str, Samples]) -> None:
    """Except `rebuild`, which Beat does not start: it follows a loss of Redis."""
    succeeded = samples["reactions_duty_last_success_timestamp_seconds"]
    expressions = " ".join(alert["expr"] for alert in alerts())
    watched = re.findall(r'success_timestamp_seconds\{duty=~"([^"]*)"', expressions)
    listed = {f"duty={duty},space=post" for duty in "|".join(watched).split("|")}
    assert succeeded.keys() - {"duty=rebuild,space=post"} <= listed
