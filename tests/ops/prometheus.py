"""A real Prometheus, with the project's own configuration and alerts, on a running stack."""

from __future__ import annotations

import json
import math
import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import yaml

from reactions.demo.process import Process, free_port
from reactions.demo.stack import Stack
from tests.support import http
from tests.support.servers import missing
from tests.support.waiting import patience, wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"
CONFIG = DEPLOY / "prometheus" / "prometheus.yml"
ALERTS = DEPLOY / "prometheus" / "alerts.yml"
DASHBOARD = DEPLOY / "grafana" / "reactions.json"

INTERVAL = "2s"
"""Time between scrapes and between evaluations; the project's own configuration has 15 s."""

Series = tuple[dict[str, str], list[float]]
"""Labels, and values in the order of time."""


def alerts() -> list[Any]:
    """The rules of the project's alerts."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    return list(group["rules"])


def panels() -> list[Any]:
    """The panels of the project's dashboard."""
    return list(json.loads(DASHBOARD.read_text())["panels"])


@dataclass(frozen=True, slots=True)
class Prometheus:
    """The HTTP API of a Prometheus server."""

    client: httpx.Client

    def get(self, path: str, **parameters: str | float) -> Any:
        """The data of an answer; an error of Prometheus fails the test with its message."""
        answer = self.client.get(f"/api/v1/{path}", params=parameters).json()
        assert answer["status"] == "success", f"{answer['error']}: {parameters}"
        return answer["data"]

    def drawn(self, query: str, begin: float, end: float) -> list[Series]:
        """What a panel draws: no NaN, which results from 0 / 0.

        The query goes one step past the end, because its last step may fall just short of it.
        """
        found = self.get("query_range", query=query, start=begin, end=end + 1, step=1)["result"]
        series = ((each["metric"], [float(value) for _, value in each["values"]]) for each in found)
        drawn = [(labels, [v for v in values if not math.isnan(v)]) for labels, values in series]
        return [(labels, values) for labels, values in drawn if values]

    def rules(self) -> list[dict[str, Any]]:
        (group,) = self.get("rules")["groups"]
        return list(group["rules"])

    def scraped(self, since: float) -> bool:
        """Whether Prometheus has scraped every target since this time, without an error."""
        found = self.get("query", query=f"timestamp(up) > {since} and up == 1")["result"]
        return 0 < len(found) == len(self.get("targets")["activeTargets"])

    def ready(self) -> bool:
        try:
            return self.client.get("/-/ready").is_success
        except httpx.TransportError:
            return False


def program() -> str:
    """The path of Prometheus; without one, the test is skipped visibly, and fails in CI."""
    found = shutil.which("prometheus")
    if found is None:
        missing("Prometheus is not installed: apt-get install prometheus")
    return found


def configure(folder: Path, targets: Mapping[str, str], password: str) -> Path:
    """Copy the project's own files, with the targets of this machine and shorter intervals."""
    for given in CONFIG.parent.iterdir():
        shutil.copy(given, folder)
    (folder / "flower-password").write_text(password)
    config = yaml.safe_load(CONFIG.read_text())
    config["global"] = dict.fromkeys(("scrape_interval", "evaluation_interval"), INTERVAL)
    for job in config["scrape_configs"]:
        job.pop("scrape_timeout", None)  # Prometheus refuses one that is longer than the interval
        job["static_configs"] = [{"targets": [targets[job["job_name"]]]}]
    path = folder / CONFIG.name
    path.write_text(yaml.safe_dump(config))
    return path


@contextmanager
def running_prometheus(stack: Stack, folder: Path) -> Iterator[Prometheus]:
    """Run Prometheus and both halves of ``reactions metrics``, until every target answers."""
    flower = urlsplit(stack.flower_url)
    targets = {"reactions-flower": f"127.0.0.1:{flower.port}"}
    environment = {
        **os.environ,
        **stack.settings.environment(),
        "PROMETHEUS_MULTIPROC_DIR": str(stack.metrics),
    }
    with ExitStack() as ending:

        def start(name: str, *command: str) -> None:
            process = Process(name, folder / f"{name}.log")
            process.launch(list(command), env=environment)
            ending.callback(process.stop)

        for half in ("stores", "processes"):
            port = str(free_port())
            targets[f"reactions-{half}"] = f"127.0.0.1:{port}"
            serve = (sys.executable, "-m", "reactions", "metrics")
            start(half, *serve, "--only", half, "--port", port)
        config = configure(folder, targets, str(flower.password))
        address = f"127.0.0.1:{free_port()}"
        start(
            "prometheus",
            program(),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
        )
        client = http.Client(base_url=f"http://{address}", timeout=patience(10))
        prometheus = Prometheus(ending.enter_context(client))
        wait_until(prometheus.ready, 30, f"Prometheus answers; see {folder}")
        wait_until(lambda: prometheus.scraped(0), 30, f"every target answers; see {folder}")
        yield prometheus
