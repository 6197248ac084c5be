"""All examples behave the same, each under the server of its framework."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from reactions.core.constants import MAX_ID
from reactions.demo.process import Process, free_port
from tests.support import http
from tests.support.engine import Engine
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

POST = 1042
SERVERS = {
    "fastapi": "-m uvicorn examples.fastapi_app:app --port {port}",
    "flask": "-m flask --app examples.flask_app run --port {port}",
    "django": "-m django runserver --noreload --settings=examples.django_app 127.0.0.1:{port}",
}


@pytest.fixture(params=SERVERS)
def example(
    request: pytest.FixtureRequest, engine: Engine, tmp_path: Path, project: Path
) -> Iterator[httpx.Client]:
    """Run an example, and return a signed-in client."""
    port = free_port()
    process = Process(request.param, tmp_path / "log")
    process.launch(
        [sys.executable, *SERVERS[request.param].format(port=port).split()],
        env={**os.environ, **engine.settings.environment(), "PYTHONPATH": str(project)},
    )
    with http.Client(base_url=f"http://127.0.0.1:{port}", headers={"X-User": "7"}) as client:

        def answers() -> bool:
            process.check()
            try:
                return client.get("/feed", params={"post": 1}).is_success
            except httpx.TransportError:
                return False

        try:
            wait_until(answers, what=f"{request.param} answers")
            yield client
        finally:
            process.stop()


def test_react_unreact_and_a_feed(example: httpx.Client, engine: Engine) -> None:
    path = f"/posts/{POST}/reaction"
    first = example.put(path, params={"reaction": "love"}).json()
    assert (first["status"], first["reaction"]) == ("accepted", "love")
    empty, mine = example.get("/feed", params={"post": [1, POST]}).json()
    assert (empty["post_id"], mine["post_id"]) == ("1", str(POST))
    assert (empty["total"], empty["reaction"]) == (0, None)
    assert (mine["total"], mine["counts"]["love"], mine["reaction"]) == (1, 1, "love")
    gone = example.delete(path).json()
    assert (gone["status"], gone["previous"]) == ("removed", "love")
    assert engine.reactions.reaction_of(7, POST) is None
    refused = example.put(path, params={"reaction": "hate"})
    assert refused.status_code == 422
    assert "one of like, love" in refused.json()["detail"]
    engine.reactions.delete_post(POST)
    for method in ("PUT", "DELETE"):
        too_late = example.request(method, path, params={"reaction": "love"})
        assert too_late.status_code == 410
        assert f"post {POST}" in too_late.json()["detail"]


def test_ids_beyond_the_exact_numbers_of_javascript(example: httpx.Client, engine: Engine) -> None:
    """Each id comes back as it was sent."""
    example.put(f"/posts/{MAX_ID}/reaction", params={"reaction": "love"}).raise_for_status()
    (shown,) = example.get("/feed", params={"post": str(MAX_ID)}).json()
    assert (shown["post_id"], shown["reaction"]) == (str(MAX_ID), "love")
    assert engine.reactions.reaction_of(7, MAX_ID) == "love"
    document = example.get("/openapi.json")
    if document.is_success:  # only FastAPI has one
        for item in document.json()["paths"].values():
            for operation in item.values():
                ids = [one["schema"] for one in operation["parameters"] if "post" in one["name"]]
                assert {one.get("items", one)["type"] for one in ids} == {"string"}
