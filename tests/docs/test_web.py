"""Each way of serving that docs/web.md shows, as it is written, keeps what the page promises."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from pydantic import SecretStr

from reactions.core.settings import Settings
from reactions.demo.process import Process, free_port
from tests.docs.fenced import blocks
from tests.support import http
from tests.support.servers import running_redis
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow

POST = 1042
BIN = Path(sys.executable).parent
SESSIONS = """
def session_of(cookie: str | None) -> int | None:
    return int(cookie) if cookie else None
"""
WAYS = {"command": "reactions web", "factory": "uvicorn --factory", "mounted": "uvicorn shop.main"}
"""A way -> how its command begins."""


class Served(Process):
    """A command of the page, in a folder with the files of the page."""

    def __init__(self, page: Path, way: str, folder: Path) -> None:
        super().__init__(way, folder / "log")
        text = page.read_text()
        lines = [line for block in blocks(page, "sh") for line in block.splitlines()]
        shown = [*lines, *re.findall(r"`([^`\n]+)`", text)]
        (line,) = [one for one in shown if one.startswith(WAYS[way]) and "--port" in one]
        port = free_port()
        words = shlex.split(line, comments=True)
        assert words[words.index("--port") + 1] == "8000"
        words[words.index("--port") + 1] = str(port)
        self.command = [str(BIN / words[0]), *words[1:]]
        self.processes = int(words[words.index("--workers") + 1]) if "--workers" in words else 1
        self.address = f"http://127.0.0.1:{port}" + ("/reactions" if way == "mounted" else "")
        self.folder = folder
        exports = re.findall(r"^export (REACTIONS_WEB_AUTHENTICATOR)=(\S+)", text, re.M)
        self.exported = dict(exports)
        write_modules(page, folder)

    def start(self, settings: Settings, **env: str) -> None:
        both = {**os.environ, **settings.environment(), "PYTHONPATH": str(self.folder), **env}
        command = [sys.executable, "-c", CHANGE_FOLDER, str(self.folder), *self.command]
        self.launch(command, env=both)

    def wait_until_ready(self) -> None:
        wait_until(self.is_ready, what=f"{self.name} is ready")

    def is_ready(self) -> bool:
        self.check()
        try:
            return http.get(f"{self.address}/readyz", timeout=patience(5)).is_success
        except httpx.TransportError:
            return False


CHANGE_FOLDER = "import os, sys; os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"


def write_modules(page: Path, folder: Path) -> None:
    """Write the modules of the page, and the one that is the reader's."""
    (folder / "shop").mkdir()
    for snippet in blocks(page, "python"):
        name = re.match(r"# (shop/\w+\.py)\n", snippet)
        if name:
            (folder / name[1]).write_text(snippet)
    (folder / "shop/sessions.py").write_text(SESSIONS)


@pytest.fixture(params=WAYS)
def served(request: pytest.FixtureRequest, project: Path, tmp_path: Path) -> Iterator[Served]:
    made = Served(project / "docs/web.md", request.param, tmp_path)
    yield made
    made.kill()


def opened(stack: ExitStack, served: Served, user: int) -> httpx.Response:
    """Open a stream that stays open, and return its answer with the headers only."""
    client = stack.enter_context(http.Client(cookies={"session": str(user)}))
    url = f"{served.address}/v1/stream?post_id={POST}"
    return stack.enter_context(client.stream("GET", url, timeout=patience(30)))


def test_it_reacts_and_is_ready_as_redis_is(
    served: Served, settings: Settings, tmp_path: Path
) -> None:
    with running_redis(tmp_path, "valkey") as redis:
        served.start(
            settings.model_copy(update={"redis_url": SecretStr(redis.url)}), **served.exported
        )
        served.wait_until_ready()
        with http.Client(base_url=served.address, cookies={"session": "7"}) as alice:
            answer = alice.put(f"/v1/posts/{POST}/reaction", json={"reaction": "love"})
            assert (answer.status_code, answer.json()["reaction"]) == (200, "love")
            assert alice.get("/openapi.json").json()["paths"].keys() >= {"/v1/types", "/readyz"}
        nobody = http.get(f"{served.address}/v1/types")
        assert (nobody.status_code, nobody.json()["status"]) == (401, 401)
        redis.stop()
        wait_until(lambda: not served.is_ready(), what="it is not ready without Redis")
        answer = http.get(f"{served.address}/readyz", timeout=patience(5))
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert http.get(f"{served.address}/healthz").is_success
        redis.start()
        served.wait_until_ready()


def test_it_limits_the_streams_of_a_user_and_of_a_process(
    served: Served, settings: Settings
) -> None:
    served.start(settings, **served.exported, REACTIONS_WEB_STREAMS="13")
    served.wait_until_ready()
    with ExitStack() as all_:
        # The system chooses the process of a stream, so only when all are full one must refuse.
        most = 10 * served.processes
        answers = [opened(all_, served, 7).status_code for _ in range(most + 1)]
        accepted = answers.count(200)
        assert 10 <= accepted <= most
        assert set(answers) == {200, 429}
        most = 13 * served.processes - accepted
        answers = [opened(all_, served, 100 + n).status_code for n in range(most + 1)]
        assert set(answers) == {200, 503}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["term", "int"])
def test_it_stops_with_streams_open(
    served: Served, settings: Settings, number: signal.Signals
) -> None:
    served.start(settings, **served.exported)
    served.wait_until_ready()
    with ExitStack() as all_:
        streams = [opened(all_, served, 7).iter_lines() for _ in range(3)]
        for lines in streams:
            assert next(line for line in lines if line.startswith("data: "))
        served.signal(number)
        wait_until(lambda: not served.alive(), what="it ends")
        for lines in streams:  # they ended, and were not cut
            assert not [line for line in lines if line.startswith("data: ")]
    log = served.log.read_text()
    assert "Traceback" not in log
    assert "graceful shutdown exceeded" not in log


@pytest.mark.parametrize("served", ["command", "factory"], indirect=True)
def test_it_does_not_start_without_an_authenticator(served: Served, settings: Settings) -> None:
    served.start(settings)
    wait_until(lambda: not served.alive(), what="it ends")
    assert "web_authenticator: the service needs an authenticator: set" in served.log.read_text()


@pytest.mark.parametrize("served", ["factory"], indirect=True)
def test_the_page_names_every_operation(project: Path, served: Served, settings: Settings) -> None:
    served.start(settings, **served.exported)
    served.wait_until_ready()
    paths = http.get(f"{served.address}/openapi.json").json()["paths"]
    page = (project / "docs/web.md").read_text()
    for item in paths.values():
        for operation in item.values():
            assert f"`{operation['operationId']}`" in page
