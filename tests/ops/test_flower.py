"""A real Flower shows our worker, queues and tasks, and nothing without its password."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from reactions.api.client import Reactions
from reactions.demo.services import TASKS_COLUMNS
from reactions.demo.stack import Stack
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow

QUEUES = {"persistence", "maintenance"}


def get(stack: Stack, path: str, password: str | None = None) -> str:
    """Get a page, with the stack's password by default; "" sends no credentials."""
    url = urlsplit(stack.flower_url)
    word = url.password if password is None else password
    headers = {}
    if word:
        credentials = base64.b64encode(f"{url.username}:{word}".encode()).decode()
        headers["Authorization"] = f"Basic {credentials}"
    request = urllib.request.Request(f"http://{url.hostname}:{url.port}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=patience(10)) as reply:  # noqa: S310 - our own server
        return str(reply.read().decode())


def get_json(stack: Stack, path: str) -> Any:
    return json.loads(get(stack, path))


def tasks(stack: Stack, name: str) -> list[dict[str, Any]]:
    return list(get_json(stack, f"/api/tasks?taskname={name}&limit=200").values())


@pytest.mark.parametrize(
    "path", ["/", "/workers", "/tasks", "/broker", "/api/workers", "/api/tasks"]
)
@pytest.mark.parametrize("password", ["", "wrong"])
def test_nothing_is_shown_without_the_password(stack: Stack, path: str, password: str) -> None:
    with pytest.raises(HTTPError) as refused:
        get(stack, path, password)
    assert refused.value.code == 401


def test_our_worker_with_both_queues(stack: Stack) -> None:
    wait_until(lambda: get_json(stack, "/api/workers?refresh=1"), 30, "Flower knows the worker")
    ((name, worker),) = get_json(stack, "/api/workers?refresh=1").items()
    assert name.startswith("reactions@")
    assert {queue["name"] for queue in worker["active_queues"]} == QUEUES
    assert {"reactions.drain", "reactions.sweep", "reactions.reconcile"} <= set(
        worker["registered"]
    )
    assert name in get(stack, "/workers")


def test_both_queues_with_their_length(stack: Stack) -> None:
    found = get_json(stack, "/api/queues/length")["active_queues"]
    assert {queue["name"] for queue in found} == QUEUES
    assert all(queue["messages"] >= 0 for queue in found)
    page = get(stack, "/broker")
    assert all(queue in page for queue in QUEUES)


def test_flower_shows_the_drain_of_a_reaction(stack: Stack) -> None:
    before = {task["uuid"] for task in tasks(stack, "reactions.drain")}

    def drained() -> list[dict[str, Any]]:
        found = tasks(stack, "reactions.drain")
        return [
            task
            for task in found
            if task["uuid"] not in before and task["state"] == "SUCCESS" and "77" in task["kwargs"]
        ]

    with Reactions(stack.settings) as client:
        client.react(1, 3077, "wow")
        wait_until(drained, 30, "Flower shows the drain of shard 77")
    (task, *_) = drained()
    assert task["worker"].startswith("reactions@")
    assert task["runtime"] > 0
    # None: a task that a worker received before Flower listened.
    names = {task["name"] for task in get_json(stack, "/api/tasks").values()} - {None}
    assert all(re.fullmatch(r"reactions\.[a-z_]+", name) for name in names)


def test_duties_that_run_every_few_seconds_do_not_drown_its_list(stack: Stack) -> None:
    wait_until(lambda: get_json(stack, "/api/workers?refresh=1"), 30, "Flower knows the worker")
    with closing(Database(stack.settings)) as database:
        duties = DutyRuns(database)
        before = runs_of(duties, "erase")
        wait_until(lambda: runs_of(duties, "erase") >= before + 2, 30, "two runs of erase")
    with Reactions(stack.settings) as client:
        client.react(2, 4078, "wow")
    # Events come in order: once this drain is listed, earlier ones of the duties would be, too.
    wait_until(lambda: any("78" in task["kwargs"] for task in tasks(stack, "reactions.drain")), 30)
    listed = {task["name"] for task in get_json(stack, "/api/tasks").values()}
    assert not listed & {"reactions.sweep", "reactions.erase", "reactions.loss_detection"}


def runs_of(duties: DutyRuns, name: str) -> int:
    return next((total.runs for total in duties.totals() if total.duty == name), 0)


def test_the_page_of_tasks_has_the_same_columns_everywhere(stack: Stack) -> None:
    page = get(stack, "/tasks")
    assert ",".join(re.findall(r'data-column="(\w+)"', page)) == TASKS_COLUMNS
    compose = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text())
    assert f"--tasks-columns={TASKS_COLUMNS}" in compose["services"]["flower"]["command"]


def test_the_example_of_prometheus_keeps_the_metrics_of_flower(stack: Stack, project: Path) -> None:
    config = yaml.safe_load((project / "deploy" / "prometheus" / "prometheus.yml").read_text())
    (job,) = (j for j in config["scrape_configs"] if j["job_name"] == "reactions-flower")
    assert job["basic_auth"]["username"] == urlsplit(stack.flower_url).username
    (rule,) = job["metric_relabel_configs"]
    wait_until(lambda: "flower_worker_online{" in get(stack, "/metrics"), 30, "a worker is online")
    names = {
        sample.name
        for family in text_string_to_metric_families(get(stack, "/metrics"))
        for sample in family.samples
    }
    kept = {name for name in names if re.fullmatch(rule["regex"], name)}
    assert {"flower_worker_online", "flower_events_total"} <= kept
    assert not any(name.startswith("reactions_") for name in kept)


def test_its_metrics_are_open_to_all_and_contain_no_arguments(stack: Stack) -> None:
    """docs/security.md says it: Flower asks for no password there."""
    wait_until(lambda: "flower_events_total{" in get(stack, "/metrics", ""), 30, "a task is seen")
    labels = {
        label
        for family in text_string_to_metric_families(get(stack, "/metrics", ""))
        for sample in family.samples
        if sample.name.startswith("flower_")
        for label in sample.labels
    }
    assert labels <= {"worker", "type", "task", "le"}
    assert get(stack, "/healthcheck", "") == "OK"
