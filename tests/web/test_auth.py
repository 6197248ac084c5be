"""The service refuses unknown users, and does not start without an authenticator."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from reactions.api.client import Reactions
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.web import create_app
from reactions.web.demo_auth import COOKIE, HEADER, chosen_user
from tests.support import http
from tests.support.engine import Engine
from tests.support.waiting import patience
from tests.web.serving import NO_DATABASE, NOWHERE, check_problem, running

REQUESTS = [
    ("PUT", "/v1/posts/1/reaction"),
    ("DELETE", "/v1/posts/1/reaction"),
    ("GET", "/v1/types"),
    ("GET", "/v1/summaries?post_id=1"),
    ("GET", "/v1/posts/1/reactors"),
    ("GET", "/v1/posts/1/recent"),
    ("GET", "/v1/posts/1/uniques"),
    ("GET", "/v1/users/me/history"),
    ("GET", "/v1/stream?post_id=1"),
]


@pytest.fixture(scope="module")
def unconnected() -> Iterator[Reactions]:
    """A client whose stores do not answer: a request without a user does not reach them."""
    with Reactions(Settings(redis_url=NOWHERE, database_url=NO_DATABASE)) as client:
        yield client


@pytest.fixture(scope="module")
def refusing(unconnected: Reactions) -> Iterator[str]:
    with running(create_app(unconnected, chosen_user)) as address:
        yield address


@pytest.fixture(scope="module")
def malformed(unconnected: Reactions) -> Iterator[str]:
    with running(create_app(unconnected, of_required)) as address:
        yield address


def test_every_route_is_tried_without_a_user(refusing: str) -> None:
    paths = http.get(f"{refusing}/openapi.json").json()["paths"]
    described = {(method.upper(), path) for path, item in paths.items() for method in item}
    asked = {(m, p.partition("?")[0].replace("/1/", "/{post_id}/")) for m, p in REQUESTS}
    assert described == asked | {("GET", "/healthz"), ("GET", "/readyz")}


@pytest.mark.parametrize(("method", "path"), REQUESTS)
@pytest.mark.parametrize("said", [{}, {HEADER: "0"}, {HEADER: "+7"}, {"Cookie": f"{COOKIE}=x"}])
def test_nobody_is_refused(refusing: str, method: str, path: str, said: dict[str, str]) -> None:
    body = {"reaction": "like"} if method == "PUT" else None
    answer = httpx.request(method, f"{refusing}{path}", headers=said, json=body)
    assert "sign in" in check_problem(answer, 401, "unauthenticated")
    assert answer.headers["WWW-Authenticate"]


def of_header(request: Request) -> int | None:
    """A plain function of the request, as a deployment may have it."""
    return 7 if request.headers.get("X-Token") == "alice" else None


bearer = HTTPBearer(auto_error=False)


async def of_token(
    found: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)],
) -> int | None:
    """An async authenticator with a security scheme of FastAPI."""
    return 7 if found and found.credentials == "alice" else None


@pytest.mark.parametrize(
    ("authenticate", "headers"),
    [(of_header, {"X-Token": "alice"}), (of_token, {"Authorization": "Bearer alice"})],
)
def test_any_dependency_is_an_authenticator(
    engine: Engine, authenticate: Any, headers: dict[str, str]
) -> None:
    app = create_app(engine.reactions, authenticate)
    with running(app) as address:
        check_problem(http.get(f"{address}/v1/summaries?post_id=1"), 401, "unauthenticated")
        body = {"reaction": "wow"}
        http.put(f"{address}/v1/posts/1/reaction", json=body, headers=headers).raise_for_status()
    assert engine.reactions.reaction_of(7, 1) == "wow"
    document = app.openapi()
    named = "HTTPBearer" if authenticate is of_token else "signedIn"
    assert list(document["components"]["securitySchemes"]) == [named]
    for path, item in document["paths"].items():
        for operation in item.values():
            wanted: list[Any] = [{named: []}] if path.startswith("/v1/") else []
            assert operation.get("security", []) == wanted, path


def of_required(token: Annotated[int, Header()]) -> int:
    """An authenticator whose own parameter may be missing or malformed."""
    return token


@pytest.mark.parametrize("headers", [{}, {"Token": "x"}])
@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_an_authenticator_with_bad_parameters_refuses_the_request(
    malformed: str, method: str, path: str, headers: dict[str, str]
) -> None:
    body = {"reaction": "like"} if method == "PUT" else None
    answer = httpx.request(method, f"{malformed}{path}", headers=headers, json=body)
    check_problem(answer, 401, "unauthenticated")


def test_a_parameter_without_a_type_is_refused(engine: Engine) -> None:
    with pytest.raises(InvalidSettings, match="its parameter request has no type"):
        create_app(engine.reactions, lambda request: 7)  # noqa: ARG005


def web(cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Start the service, which must refuse to run."""
    return subprocess.run(
        [sys.executable, "-m", "reactions", "web", "--port=1"],
        cwd=cwd,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=patience(60),
        check=False,
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({}, "web_authenticator: the service needs an authenticator: set REACTIONS_WEB_AUTH"),
        ({"REACTIONS_WEB_AUTHENTICATOR": "mine:user"}, "mine:user cannot be imported"),
        ({"REACTIONS_WEB_AUTHENTICATOR": "os:nothing"}, "os:nothing cannot be imported"),
        ({"REACTIONS_WEB_AUTHENTICATOR": "os:sep"}, "os:sep is not a function"),
        ({"REACTIONS_WEB_AUTHENTICATOR": "mine"}, "web_authenticator: String should match"),
    ],
)
def test_the_service_does_not_start_without_an_authenticator(
    tmp_path: Path, env: dict[str, str], said: str
) -> None:
    ran = web(tmp_path, **env)
    assert ran.returncode == 2
    assert ran.stderr.startswith("Error: web_authenticator: ")
    assert said in ran.stderr
    assert "Traceback" not in ran.stderr
