"""A real Prometheus scrapes a demo: no panel of the dashboard is empty, every alert has samples."""

from __future__ import annotations

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
from tests.ops.prometheus import (
    CONFIG,
    Prometheus,
    Series,
    alerts,
    panels,
    program,
    running_prometheus,
)
from tests.support.waiting import patient, wait_until
from tests.web.serving import user

pytestmark = pytest.mark.slow

EVENTS, VIRAL = 20_000, 1_000
"""Enough events for some viral posts, however fast the demo is."""

CALM = re.compile(
    r"drain_retries|stale_versions|rows_refused|dead_letters|duty_(found|repaired)|queue_messages"
    r"|connections_condemned|replica_reads"
)
"""Series that may stay at 0 in a healthy system."""

VISITS = (
    "/v1/summaries?" + "&".join(f"post_id={post_id}" for post_id in POSTS),
    f"/v1/posts/{POSTS[-1]}/reactors",
    "/v1/users/me/history",
)
"""Requests of a visitor of the page: the feed, the reactors of a post, their own history."""

Draw = Callable[[str], list[Series]]


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The stack of `reactions demo`, outside of pytest's folder: PostgreSQL has its own user."""
    program()  # skips before anything starts
    folder = Path(tempfile.mkdtemp(prefix="reactions-test-"))
    try:
        with Stack(folder, Settings(viral_threshold=VIRAL, **patient()), page=True) as running:
            yield running
    finally:
        remove(folder)


@pytest.fixture
def prometheus(stack: Stack, tmp_path: Path) -> Iterator[Prometheus]:
    with running_prometheus(stack, tmp_path) as running:
        yield running


def play(stack: Stack) -> None:
    """Run `reactions demo` with a visitor on its page."""
    trace = Trace(trace_file(stack.folder, None, EVENTS))
    with ThreadPoolExecutor(1) as pool, user(stack.page_url, GUESTS) as visitor:
        playing = pool.submit(run, stack, trace, writers=4, outage=None, progress=lambda *_: None)
        while not wait([playing], 0.2).done:
            with suppress(httpx.TransportError):  # the demo stops its page at the end
                for path in VISITS:
                    visitor.get(path)
        report, _ = playing.result()
    assert report.holds


def do_daily_duties(stack: Stack) -> None:
    """Run the duties that Beat sends at night."""
    database = Database(stack.settings)
    with connect(stack.settings) as client:
        Cleanup(client, database, stack.settings).run()
        Reconcile(client, database, stack.settings).run(PostTier.REGULAR)
    database.close()


def rate_interval() -> str:
    """Grafana's default for $__rate_interval: four times the scrape interval."""
    every = yaml.safe_load(CONFIG.read_text())["global"]["scrape_interval"]
    return f"{4 * int(every.removesuffix('s'))}s"


def wrong_panels(draw: Draw) -> Iterator[str]:
    """Each query must draw something other than a flat zero, with the labels of its legend."""
    for panel in panels():
        for target in panel["targets"]:
            query, legend = target["expr"], set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
            drawn = draw(query.replace("$__rate_interval", rate_interval()))
            highest = max((value for _, values in drawn for value in values), default=None)
            if highest is None or (highest <= 0 and not CALM.search(query)):
                yield f"{panel['title']}: highest is {highest}: {query}"
            if not all(legend <= labels.keys() for labels, _ in drawn):
                yield f"{panel['title']}: {target['legendFormat']} is no label of {query}"


def wrong_alerts(draw: Draw) -> Iterator[str]:
    """Without its bound, a rule has samples in a healthy system too; a misspelt label has none."""
    for alert in alerts():
        watched = re.sub(r"(>|==) [\d.]+(?= or |$)|\babsent\b", "", alert["expr"])
        if watched == alert["expr"] or not draw(watched):
            yield f"{alert['alert']} has nothing to watch: {watched}"


def wrong_rules(prometheus: Prometheus) -> Iterator[str]:
    """Rules that Prometheus itself cannot evaluate."""
    wait_until(lambda: all(rule["health"] != "unknown" for rule in prometheus.rules()), 30)
    for rule in prometheus.rules():
        if rule["health"] != "ok":
            yield f"{rule['name']} is {rule['health']}: {rule.get('lastError')}"


# One test: several could run in several processes of pytest, each with a demo of its own.
def test_a_demo_fills_every_panel_and_every_alert_has_something_to_watch(
    stack: Stack, prometheus: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(stack.metrics))  # the writers count there
    began = time.time()
    play(stack)
    do_daily_duties(stack)
    ended = time.time()
    wait_until(lambda: prometheus.scraped(ended), 30, "every target is scraped once more")

    def draw(query: str) -> list[Series]:
        return prometheus.drawn(query, began, time.time())

    wrong = [*wrong_panels(draw), *wrong_alerts(draw), *wrong_rules(prometheus)]
    assert not wrong, "\n".join(wrong)
