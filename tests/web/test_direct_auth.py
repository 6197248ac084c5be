"""``direct`` calls an authenticator as FastAPI does, or leaves it to FastAPI."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Cookie, Depends, Header, Request, Response, Security
from fastapi.security import APIKeyHeader, HTTPBearer

from reactions.web.demo_auth import HEADER, chosen_user
from reactions.web.direct_auth import direct

_bearer = HTTPBearer(auto_error=False)
_key = APIKeyHeader(name="X-Key", auto_error=False)


def plain(request: Request) -> int | None:
    return int(request.headers["x-user"]) if threading.current_thread().name != MAIN else None


async def waiting(request: Request) -> int:
    return int(request.headers["x-user"])


async def nested(
    user: Annotated[int, Depends(waiting)], key: Annotated[str | None, Security(_key)]
) -> int:
    return user if key == "secret" else 0


def as_default(user: int = Depends(waiting)) -> int:
    return user


class Session:
    async def user(self, request: Request) -> int:
        return await waiting(request)


MAIN = threading.current_thread().name


def request(**headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw})


@pytest.mark.parametrize("found", [plain, waiting, nested, as_default, Session().user])
def test_it_calls_what_depends_on_the_request_alone(found: Any) -> None:
    solve = direct(found)
    assert solve is not None
    assert asyncio.run(_solved(solve, request(x_user="7", x_key="secret"))) == 7


def test_the_authenticator_of_the_demo() -> None:
    solve = direct(chosen_user)
    assert solve is not None
    assert asyncio.run(_solved(solve, request(**{HEADER.lower(): "42"}))) == 42
    assert asyncio.run(_solved(solve, request(cookie="reactions_user=43"))) == 43


async def _solved(solve: Any, of: Request) -> Any:
    return await solve(of)


def by_header(x_user: Annotated[int, Header()]) -> int:
    return x_user


def by_cookie(session: Annotated[str, Cookie()]) -> int:
    return len(session)


def by_query(user: int) -> int:
    return user


def with_response(request: Request, response: Response) -> int:  # noqa: ARG001
    return 7


def generator(request: Request) -> Iterator[int]:  # noqa: ARG001
    yield 7


async def over_header(user: Annotated[int, Depends(by_header)]) -> int:
    return user


def over_scopes(user: Annotated[int, Security(waiting, scopes=["read"])]) -> int:
    return user


def several(*request: Request) -> int:  # noqa: ARG001
    return 7


class Instance:
    def __call__(self, request: Request) -> int:  # noqa: ARG002
        return 7


@pytest.mark.parametrize(
    "found",
    [
        by_header,
        by_cookie,
        by_query,
        with_response,
        generator,
        over_header,
        over_scopes,
        several,
        Instance(),
        Instance,
        int,
    ],
)
def test_it_leaves_the_others_to_fastapi(found: Any) -> None:
    assert direct(found) is None
