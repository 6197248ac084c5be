"""What is answered without FastAPI is answered as FastAPI does, and everything else by FastAPI."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from reactions.core.constants import MAX_ID
from reactions.web import create_app, direct_routes
from reactions.web.demo_auth import HEADER, chosen_user
from tests.support.engine import Engine
from tests.support.waiting import patience
from tests.web.serving import running

POST, DELETED = 1042, 1043
PUT = f"/v1/posts/{POST}/reaction"
JSON = {"Content-Type": "application/json"}
LIKE = b'{"reaction": "like"}'
FEED = "/v1/summaries"


def wrong_bodies() -> Iterator[bytes]:
    yield from (b"", b"{", b"[]", b"null", b'"like"', b"\xff", b'{"reaction": "like"', b"NaN")
    values: tuple[Any, ...] = (None, 1, True, [], {}, "", "nothing", "x" * 100)
    for value in values:
        yield json.dumps({"reaction": value}).encode()
    yield b'{"reaction": "like", "more": 1}'
    yield b'{"reaction": "love", "reaction": "like"}'
    yield b'{"reaction": "\\ud800"}'
    yield b'{"reaction": "like"}' + b" " * 5_000


IDS = ("0", "007", "-1", "+1", "1.0", "x", "1" * 30, str(MAX_ID + 1), "1_0", "%00")


@pytest.fixture
def app(engine: Engine) -> FastAPI:
    for user in (7, 8):
        engine.reactions.react(user, POST, "like")
    engine.reactions.delete_post(DELETED)
    return create_app(engine.reactions, chosen_user)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The requests that were answered without FastAPI."""
    seen: list[str] = []
    for name in ("_write", "_feed"):
        work = getattr(direct_routes.DirectRoutes, name)

        async def counting(*args: Any, work: Any = work, name: str = name) -> bytes:
            seen.append(name)
            body: bytes = await work(*args)
            return body

        monkeypatch.setattr(direct_routes.DirectRoutes, name, counting)
    return seen


def requests() -> Iterator[tuple[str, str, bytes | None, dict[str, str]]]:
    """Method, path, body and headers; none of them changes anything."""
    yield "PUT", PUT, LIKE, JSON
    yield "PUT", PUT, LIKE, {"Content-Type": "application/json; charset=UTF-8"}
    yield "PUT", PUT, LIKE, {"Content-Type": "Application/JSON"}
    yield "PUT", PUT, b'\n{ "reaction":"\\u006cike" }', JSON
    yield "PUT", f"/v1/posts/{DELETED}/reaction", LIKE, JSON
    yield "PUT", PUT, LIKE, {**JSON, "Origin": "https://elsewhere.example"}
    yield "PUT", PUT, LIKE, {**JSON, HEADER: "nobody"}
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        yield "PUT", PUT, LIKE, {"Content-Type": kind}
    for body in wrong_bodies():
        yield "PUT", PUT, body, JSON
    for post in IDS:
        yield "PUT", f"/v1/posts/{post}/reaction", LIKE, JSON
        yield "DELETE", f"/v1/posts/{post}/reaction", None, {}
        yield "GET", f"{FEED}?post_id={post}", None, {}
    yield "GET", f"{FEED}?post_id=%31042", None, {}
    yield "GET", f"{FEED}?post_id={POST}&post_id=1&post_id={DELETED}&post_id={POST}", None, {}
    yield "GET", f"{FEED}?{'&'.join(f'post_id={n}' for n in range(1, 202))}", None, {}
    for query in ("", "?", "?post_id=", "?post_id", "?x=1", f"?post_id={POST}&x=1", "?post_id=1;2"):
        yield "GET", FEED + query, None, {}
    yield "GET", f"{FEED}?post_id={POST}", None, {HEADER: "nobody"}
    yield "GET", f"{FEED}/?post_id={POST}", None, {}
    yield "POST", FEED, None, {}
    yield "PATCH", PUT, LIKE, JSON
    yield "HEAD", f"{FEED}?post_id={POST}", None, {}


def test_every_answer_is_that_of_fastapi(app: FastAPI, counted: list[str]) -> None:
    with (
        running(app) as address,
        httpx.Client(base_url=address, headers={HEADER: "7"}, timeout=patience(20)) as client,
    ):
        for method, path, body, headers in requests():
            found = []
            for overrides in ({}, {requests: requests}):  # FastAPI answers all if there are any
                app.dependency_overrides = overrides
                answer = client.request(method, path, content=body, headers=headers)
                kept = {name: value for name, value in answer.headers.items() if name != "date"}
                found.append((answer.status_code, kept, answer.content))
            assert found[0] == found[1], (method, path, body, headers)
    # The first four, that of a deleted post, two that the library refuses.
    assert counted.count("_write") >= 6
    assert counted.count("_feed") == 1  # not the one with a percent sign


def test_a_removal(app: FastAPI, engine: Engine, counted: list[str]) -> None:
    with (
        running(app) as address,
        httpx.Client(base_url=address, headers={HEADER: "7"}, timeout=patience(20)) as client,
    ):
        gone = client.delete(PUT).json()
        assert (gone["status"], gone["reaction"], gone["previous"]) == ("removed", None, "like")
        assert client.delete(PUT).json()["status"] == "unchanged"
    assert counted == ["_write", "_write"]
    assert engine.reactions.reaction_of(7, POST) is None
