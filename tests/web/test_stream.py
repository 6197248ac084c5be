"""The stream: full values, a few times a second, for any number of listeners at the cost of one."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from fastapi import FastAPI

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web import create_app, poller, stream
from reactions.web.demo_auth import HEADER, chosen_user
from tests.support.engine import Engine
from tests.support.servers import running_redis
from tests.support.waiting import wait_until
from tests.web.serving import check_problem, running, user

POST, OTHER = 1042, 43


class Event(NamedTuple):
    """One event as a browser has it."""

    id: str
    items: list[Any]

    @property
    def totals(self) -> dict[int, int]:
        return {int(item["post_id"]): item["total"] for item in self.items}


def events(answer: httpx.Response) -> Generator[Event, None, None]:
    """Comments are left out, as browsers do."""
    found: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            found[name] = value
        elif "data" in found:
            yield Event(found["id"], json.loads(found["data"])["items"])
            found = {}


@contextmanager
def listening(
    address: str, *posts: int, last_id: str | None = None, user_id: int = 7
) -> Iterator[Generator[Event, None, None]]:
    """The events of a new stream."""
    headers = {HEADER: str(user_id)} | ({"Last-Event-ID": last_id} if last_id else {})
    query = {"post_id": posts}
    url = f"{address}/v1/stream"
    with httpx.stream("GET", url, params=query, headers=headers, timeout=30) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Accel-Buffering"] == "no"
        yield events(answer)


def until_total(found: Iterator[Event], post: int, total: int) -> list[Event]:
    """The events up to the one with this total."""
    taken = []
    for event in found:
        taken.append(event)
        if event.totals.get(post) == total:
            return taken
    raise AssertionError(f"the stream ended after {taken}")


def test_first_all_values_then_those_that_change(address: str, engine: Engine) -> None:
    engine.reactions.react(1, POST, "love")
    with listening(address, POST, OTHER, POST) as found:
        first = next(found)
        assert first.totals == {OTHER: 0, POST: 1}
        engine.reactions.react(2, POST, "wow")
        (changed,) = next(found).items
    zeros = dict.fromkeys(changed["counts"], 0)
    assert changed == {
        "post_id": str(POST),
        "counts": zeros | {"love": 1, "wow": 1},
        "total": 2,
        "tier": "regular",
    }


def test_a_deletion_is_a_change(address: str, engine: Engine) -> None:
    engine.reactions.react(1, POST, "love")
    with listening(address, POST) as found:
        assert next(found).totals == {POST: 1}
        engine.reactions.delete_post(POST)
        (changed,) = next(found).items
    assert (changed["tier"], changed["total"]) == ("deleted", 0)


class Watched(Reactions):
    """Notes each look at posts, and that no two are at the same time."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.looks: list[tuple[float, tuple[int, ...]]] = []
        self._alone = threading.Lock()

    def summaries(self, post_ids: Any, user_id: int | None = None) -> Any:
        assert self._alone.acquire(blocking=False), "two look at the same time"
        self.looks.append((time.monotonic(), tuple(post_ids)))
        try:
            return super().summaries(post_ids, user_id)
        finally:
            self._alone.release()


@pytest.fixture
def watched(settings: Settings) -> Iterator[Watched]:
    with Watched(settings) as client:
        yield client


def test_many_listeners_cost_one_poller_which_takes_its_time(
    watched: Watched, engine: Engine
) -> None:
    app = create_app(watched, chosen_user)
    with running(app) as address:
        with ExitStack() as open_:
            streams = [
                open_.enter_context(listening(address, POST, user_id=n)) for n in range(1, 9)
            ]
            assert [next(found).totals for found in streams] == [{POST: 0}] * 8
            looked = len(watched.looks)
            wait_until(lambda: len(watched.looks) >= looked + 4)
            engine.reactions.react(1, POST, "like")
            assert [next(found).totals for found in streams] == [{POST: 1}] * 8
        wait_until(lambda: not is_busy(app), what="the poller ends with the last stream")
    polls = watched.looks[1:]  # the first stream looked by itself
    assert {posts for _, posts in polls} == {(POST,)}
    gaps = [later[0] - one[0] for one, later in pairwise(polls)]
    assert min(gaps) > 0.9 * poller.POLL_S  # a slow machine makes them longer


def is_busy(app: FastAPI) -> bool:
    hub = app.state.hub
    polling = hub._poller
    return bool(polling.values or polling._followers or hub._streams or not polling._task.done())


def test_a_burst_is_one_event_a_look(watched: Watched, engine: Engine) -> None:
    with (
        running(create_app(watched, chosen_user)) as address,
        listening(address, POST) as found,
    ):
        next(found)
        looked = len(watched.looks)
        writer = threading.Thread(
            target=lambda: [engine.reactions.react(n, POST, "like") for n in range(1, 301)]
        )
        writer.start()
        taken = until_total(found, POST, 300)
        writer.join()
        assert len(taken) <= len(watched.looks) - looked + 1
    totals = [event.totals[POST] for event in taken]
    assert totals == sorted(set(totals))


def test_who_missed_nothing_is_told_nothing(address: str, engine: Engine) -> None:
    engine.reactions.react(1, POST, "love")
    with listening(address, POST, OTHER) as found:
        first = next(found)
    with listening(address, OTHER, POST, last_id=first.id) as found:
        engine.reactions.react(2, POST, "love")
        assert next(found).totals == {POST: 2}


def test_who_missed_something_is_told_all_also_by_another_process(
    address: str, engine: Engine
) -> None:
    with listening(address, POST, OTHER) as found:
        first = next(found)
        engine.reactions.react(1, OTHER, "love")
        second = next(found)
    with running(create_app(engine.reactions, chosen_user)) as another:
        with listening(another, POST, OTHER, last_id=first.id) as found:
            again = next(found)
            assert again.totals == {OTHER: 1, POST: 0}
            assert again.id == second.id
        with listening(another, POST, OTHER, last_id=second.id) as found:
            engine.reactions.react(2, OTHER, "love")
            assert next(found).totals == {OTHER: 2}


def test_an_outage_is_a_pause(tmp_path: Path, settings: Settings) -> None:
    with running_redis(tmp_path, "valkey") as server:
        own = settings.model_copy(update={"redis_url": Settings(redis_url=server.url).redis_url})
        with (
            Watched(own) as client,
            running(create_app(client, chosen_user)) as address,
            listening(address, POST) as found,
        ):
            next(found)
            server.stop()
            looked = len(client.looks)
            wait_until(lambda: len(client.looks) > looked + 1)
            with user(address, 7) as alice:
                check_problem(alice.get(f"/v1/stream?post_id={OTHER}"), 503, "unavailable")
            server.start()
            client.react(1, POST, "sad")
            assert next(found).totals == {POST: 1}


def opened(address: str, stack: ExitStack, user_ids: Sequence[int]) -> None:
    """Streams that stay open as long as the stack."""
    for user_id in user_ids:
        found = stack.enter_context(listening(address, POST, user_id=user_id))
        next(found)
        stack.callback(found.close)  # who lets go of a generator closes its connection


def test_a_process_has_room_for_so_many_streams(settings: Settings) -> None:
    with (
        Reactions(settings.model_copy(update={"web_streams": 2})) as client,
        running(create_app(client, chosen_user)) as address,
        user(address, 9) as carol,
    ):
        with ExitStack() as two:
            opened(address, two, [7, 8])
            answer = carol.get(f"/v1/stream?post_id={POST}")
            check_problem(answer, 503, "too-many-streams")
            assert answer.headers["Retry-After"] == "10"
        retry(address, 9)


def test_a_user_has_room_for_fewer(address: str) -> None:
    with ExitStack() as all_, user(address, 7) as alice:
        opened(address, all_, [7] * (stream.MAX_USER_STREAMS - 1))
        with listening(address, POST):
            answer = alice.get(f"/v1/stream?post_id={POST}")
            check_problem(answer, 429, "too-many-streams")
            assert answer.headers["Retry-After"] == "10"
            opened(address, all_, [8])
        retry(address, 7)


def retry(address: str, user_id: int) -> None:
    """There is room again, as soon as the service sees that another one has gone."""

    def there_is_room() -> bool:
        url = f"{address}/v1/stream?post_id={POST}"
        with httpx.stream("GET", url, headers={HEADER: str(user_id)}) as answer:
            return answer.status_code == 200

    wait_until(there_is_room)


def test_a_stream_ends_and_its_successor_goes_on(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "LIFE_S", 0.2)
    with listening(address, POST) as found:
        (only,) = list(found)
    with listening(address, POST, last_id=only.id) as found:
        assert list(found) == []


def test_a_comment_comes_where_nothing_else_does(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastapi.routing._PING_INTERVAL", 0.05)
    url = f"{address}/v1/stream?post_id={POST}"
    with httpx.stream("GET", url, headers={HEADER: "7"}, timeout=20) as answer:
        assert any(line.startswith(":") for line in answer.iter_lines())
