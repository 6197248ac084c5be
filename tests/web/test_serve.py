"""``reactions web`` as a command: several processes, signals, and open streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest

from reactions.core.settings import Settings
from reactions.demo.process import Process, free_port
from tests.support import http
from tests.support.waiting import wait_until
from tests.web.serving import user
from tests.web.streaming import listening

pytestmark = pytest.mark.slow

POST = 1042
AUTHENTICATOR = """
from fastapi import Request

def of_header(request: Request) -> int | None:
    return int(request.headers.get("X-Reactions-User", 0)) or None
"""


class Service(Process):
    """``reactions web``, started in a folder with the authenticator."""

    def __init__(self, folder: Path) -> None:
        super().__init__("web", folder / "web.log")
        (folder / "mine.py").write_text(AUTHENTICATOR)
        self.folder, self.port = folder, free_port()
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self, settings: Settings, workers: int) -> None:
        own = settings.model_copy(update={"web_authenticator": "mine:of_header"})
        script = (
            "import os, sys; os.chdir(sys.argv.pop(1)); from reactions.cli.main import main; main()"
        )
        options = [f"--port={self.port}", f"--workers={workers}"]
        self.launch(
            [sys.executable, "-c", script, str(self.folder), "web", *options],
            env={**os.environ, **own.environment()},
        )
        wait_until(self.answers, what="the service answers")

    def answers(self) -> bool:
        self.check()
        try:
            return http.get(f"{self.address}/readyz").is_success
        except httpx.TransportError:
            return False

    def workers(self) -> set[int]:
        """Return the serving processes. The other children belong to multiprocessing."""
        children = psutil.Process(self.pid).children()
        return {c.pid for c in children if "spawn_main" in cmdline(c)}


def cmdline(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
        return " ".join(process.cmdline())
    return ""


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    made = Service(tmp_path)
    yield made
    made.kill()


def test_two_processes_serve_one_truth(service: Service, settings: Settings) -> None:
    service.start(settings, workers=2)
    for user_id in range(1, 21):  # each client opens a new connection, to one process or the other
        with user(service.address, user_id) as client:
            client.put(f"/v1/posts/{POST}/reaction", json={"reaction": "love"}).raise_for_status()
    with user(service.address, 3) as client:
        (shown,) = client.get("/v1/summaries", params={"post_id": POST}).json()["items"]
    assert (shown["total"], shown["reaction"]) == (20, "love")


def test_a_process_that_dies_is_replaced(service: Service, settings: Settings) -> None:
    service.start(settings, workers=2)
    wait_until(lambda: len(service.workers()) == 2)
    before = service.workers()
    psutil.Process(min(before)).kill()
    wait_until(lambda: len(service.workers() - before) == 1)
    wait_until(service.answers)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_ends_it_while_a_stream_is_open(
    service: Service, settings: Settings, workers: int
) -> None:
    service.start(settings, workers)
    with listening(service.address, POST) as found:
        assert next(found).totals == {POST: 0}
        service.stop(patience_s=60)
        assert list(found) == []
    log = service.log.read_text()
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" not in log
