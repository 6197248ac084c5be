"""Runs a service under uvicorn in a thread of the test, and checks its answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr

from reactions.demo.process import free_port
from reactions.web.demo_auth import HEADER
from tests.support import http
from tests.support.waiting import patience, wait_until

PROBLEM = "application/problem+json"


@contextmanager
def running(app: FastAPI) -> Iterator[str]:
    """Run a service, and yield its address. The end cuts open streams."""
    port = free_port()
    config = uvicorn.Config(
        app, port=port, log_level="warning", access_log=False, timeout_graceful_shutdown=0
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        wait_until(lambda: server.started or not thread.is_alive(), what="the service starts")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def user(address: str, user_id: int) -> httpx.Client:
    """Return a client that is signed in as this user."""
    return http.Client(base_url=address, headers={HEADER: str(user_id)}, timeout=patience(20))


def check_problem(answer: httpx.Response, status: int, kind: str) -> str:
    """Check that the answer is this problem, and return its detail."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == PROBLEM
    body = answer.json()
    assert set(body) == {"type", "title", "status", "detail"}
    assert body["status"] == status
    assert body["type"] == f"urn:problem-type:reactions:{kind}"
    assert body["title"]
    return str(body["detail"])


def put(client: httpx.Client, reaction: str, post: int = 1042) -> Any:
    answer = client.put(f"/v1/posts/{post}/reaction", json={"reaction": reaction})
    assert answer.status_code == 200, answer.text
    return answer.json()


def get(client: httpx.Client, path: str, **query: Any) -> Any:
    answer = client.get(path, params=query)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Cache-Control"] == "no-store"
    return answer.json()


NOWHERE = SecretStr("redis://:s3cret@127.0.0.1:1/0")


NO_DATABASE = SecretStr("postgresql+psycopg2://u:s3cret@127.0.0.1:1/x")
