"""Dashboard and alerts asked of a real Prometheus that scraped a demo: no panel is empty."""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

import httpx
import pytest
import yaml

from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.demo.run import run
from reactions.demo.stack import Stack
from reactions.demo.state_folder import remove
from reactions.demo.synthetic_trace import trace_file
from reactions.demo.trace import Trace
from reactions.maintenance.cleanup import Cleanup
from reactions.maintenance.reconcile import Reconcile
from reactions.postgres.database import Database
from reactions.redis.connection import connect
from reactions.web.page.ids import GUESTS, POSTS
from tests.ops.prometheus import CONFIG, Prometheus, Series, program, running_prometheus
from tests.support.waiting import wait_until
from tests.web.serving import user

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "reactions.json"
ALERTS = CONFIG.parent / "alerts.yml"

EVENTS, VIRAL = 20_000, 1_000
"""So that some posts become viral, however fast the demo is."""

CALM = re.compile(
    r"drain_retries|stale_versions|rows_refused|dead_letters|duty_(found|repaired)|queue_messages"
)
"""What may stay at 0 while all is well."""

LOOKS = (
    "/v1/summaries?" + "&".join(f"post_id={post_id}" for post_id in POSTS),
    f"/v1/posts/{POSTS[-1]}/reactors",
    "/v1/users/me/history",
)
"""What a visitor of the page asks for: its feed, who reacted, and what they did themselves."""

Draw = Callable[[str], list[Series]]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """As `reactions demo` has it. Not under pytest's folder, as PostgreSQL has its own user."""
    program()  # or nothing is started
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    try:
        with Stack(folder, Settings(viral_threshold=VIRAL), page=True) as running:
            yield running
    finally:
        remove(folder)


@pytest.fixture
def prometheus(stack: Stack, tmp_path: Path) -> Iterator[Prometheus]:
    with running_prometheus(stack, tmp_path) as running:
        yield running


def play(stack: Stack) -> None:
    """`reactions demo`, with somebody who looks at its page."""
    trace = Trace(trace_file(stack.folder, None, EVENTS))
    with ThreadPoolExecutor(1) as pool, user(stack.page_url, GUESTS) as visitor:
        playing = pool.submit(run, stack, trace, writers=4, outage=None, progress=lambda *_: None)
        while not wait([playing], 0.2).done:
            with suppress(httpx.TransportError):  # in the end the demo takes its page away
                for path in LOOKS:
                    visitor.get(path)
        report, _ = playing.result()
    assert report.holds


def do_daily_duties(stack: Stack) -> None:
    """What Beat sends at night."""
    database = Database(stack.settings)
    with connect(stack.settings) as client:
        Cleanup(client, database, stack.settings).run()
        Reconcile(client, database, stack.settings).run(PostTier.REGULAR)
    database.close()


def rate_interval() -> str:
    """What Grafana makes of it by default: four scrapes of the project's own configuration."""
    every = yaml.safe_load(CONFIG.read_text())["global"]["scrape_interval"]
    return f"{4 * int(every.removesuffix('s'))}s"


def wrong_panels(draw: Draw) -> Iterator[str]:
    """Each query has to draw something, other than a flat zero, with the labels of its legend."""
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            query, legend = target["expr"], set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            drawn = draw(query.replace("$__rate_interval", rate_interval()))
            highest = max((value for _, values in drawn for value in values), default=None)
            if highest is None or (highest <= 0 and not CALM.search(query)):
                yield f"{panel['title']}: highest is {highest}: {query}"
            if not all(legend <= labels.keys() for labels, _ in drawn):
                yield f"{panel['title']}: {target['legendFormat']} is no label of {query}"


def wrong_alerts(draw: Draw) -> Iterator[str]:
    """Without its bound, each has samples also while all is well; a misspelt label never has."""
    for alert in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]:
        watched = re.sub(r"(>|==) [\d.]+(?= or |$)|\babsent\b", "", alert["expr"])
        if watched == alert["expr"] or not draw(watched):
            yield f"{alert['alert']} has nothing to watch: {watched}"


def wrong_rules(prometheus: Prometheus) -> Iterator[str]:
    """As Prometheus itself evaluates them."""
    wait_until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), 30)
    for rule in prometheus.rules():
        if rule["health"] != "ok":
            yield f"{rule['name']} is {rule['health']}: {rule.get('lastError')}"


# One test, as each process of pytest that had a part of it would play a demo of its own.
def test_a_demo_fills_every_panel_and_every_alert_has_something_to_watch(
    stack: Stack, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(stack.metrics))  # of the writers
    began = time.time()
    play(stack)
    do_daily_duties(stack)
    ended = time.time()
    wait_until(lambda: prometheus.scraped(ended), 30, "every target is scraped once more")

    def draw(query: str) -> list[Series]:
        return prometheus.drawn(query, began, time.time())

    wrong = [*wrong_panels(draw), *wrong_alerts(draw), *wrong_rules(prometheus)]
    assert not wrong, "\n".join(wrong)
