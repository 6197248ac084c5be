"""Reads a stream as a browser does."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from reactions.web.demo_auth import HEADER
from tests.support import http
from tests.support.waiting import patience


class Event(NamedTuple):
    """One event, as a browser receives it."""

    id: str
    items: list[Any]
    name: str = "message"

    @property
    def totals(self) -> dict[int, int]:
        return {int(item["post_id"]): item["total"] for item in self.items}


def events(answer: httpx.Response) -> Generator[Event, None, None]:
    """Parse events. Like a browser, ignore comments."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "data" in found:
            name = found.get("event", "message")
            yield Event(found.get("id", ""), json.loads(found["data"])["items"], name)
            found = {}


@contextmanager
def listening(
    address: str,
    *posts: int,
    last_id: str | None = None,
    user_id: int = 7,
    beats: bool = False,
    types: bool = False,
) -> Iterator[Generator[Event, None, None]]:
    """Open a stream, and yield its events."""
    headers = {HEADER: str(user_id)} | ({"Last-Event-ID": last_id} if last_id else {})
    query: dict[str, Any] = {"post_id": posts, "beats": beats, "types": types}
    url = f"{address}/v1/stream"
    with http.stream("GET", url, params=query, headers=headers, timeout=patience(30)) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Accel-Buffering"] == "no"
        yield events(answer)
