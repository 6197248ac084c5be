"""The poller reads for all streams at once, a few times a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.web import create_app, poller
from reactions.web.demo_auth import chosen_user
from tests.support.engine import Engine
from tests.support.servers import running_redis
from tests.support.waiting import wait_until
from tests.web.serving import check_problem, running, user
from tests.web.streaming import Event, listening

POST, OTHER = 1042, 43


def until_total(found: Iterator[Event], post: int, total: int) -> list[Event]:
    """Return the events up to the one with this total."""
    taken = []
    for event in found:
        taken.append(event)
        if event.totals.get(post) == total:
            return taken
    raise AssertionError(f"the stream ended after {taken}")


class Watched(Reactions):
    """Records each read of posts, and how many overlap."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.reads: list[tuple[float, tuple[int, ...]]] = []
        self.overlaps = 0
        self._alone = threading.Lock()

    def summaries(self, post_ids: Any, user_id: int | None = None) -> Any:
        alone = self._alone.acquire(blocking=False)
        self.overlaps += not alone
        self.reads.append((time.monotonic(), tuple(post_ids)))
        try:
            return super().summaries(post_ids, user_id)
        finally:
            if alone:
                self._alone.release()


@pytest.fixture
def watched(settings: Settings) -> Iterator[Watched]:
    with Watched(settings) as client:
        yield client
        assert not client.overlaps


def test_many_listeners_share_one_slow_poller(watched: Watched, engine: Engine) -> None:
    app = create_app(watched, chosen_user)
    started = time.monotonic()
    with running(app) as address:
        with ExitStack() as open_:
            streams = [
                open_.enter_context(listening(address, POST, user_id=n)) for n in range(1, 9)
            ]
            assert [next(found).totals for found in streams] == [{POST: 0}] * 8
            before = len(watched.reads)
            wait_until(lambda: len(watched.reads) >= before + 4)
            engine.reactions.react(1, POST, "like")
            assert [next(found).totals for found in streams] == [{POST: 1}] * 8
        wait_until(lambda: not is_busy(app), what="the poller ends with the last stream")
    polls = watched.reads[1:]  # the first stream read its posts itself
    assert {posts for _, posts in polls} == {(POST,)}
    # Eight pollers would read eight times as often. A slow machine makes fewer polls.
    assert len(polls) <= (time.monotonic() - started) / poller.POLL_S + 1


def is_busy(app: FastAPI) -> bool:
    hub = app.state.spaces.hub("post")
    polling = hub._poller
    return bool(polling.values or polling._followers or hub._streams or not polling._task.done())


def test_a_burst_is_one_event_per_poll(watched: Watched, engine: Engine) -> None:
    with (
        running(create_app(watched, chosen_user)) as address,
        listening(address, POST) as found,
    ):
        next(found)
        before = len(watched.reads)
        writer = threading.Thread(
            target=lambda: [engine.reactions.react(n, POST, "like") for n in range(1, 301)]
        )
        writer.start()
        taken = until_total(found, POST, 300)
        writer.join()
        assert len(taken) <= len(watched.reads) - before + 1
    totals = [event.totals[POST] for event in taken]
    assert totals == sorted(set(totals))


def test_an_outage_is_a_pause(tmp_path: Path, settings: Settings) -> None:
    with running_redis(tmp_path, "valkey") as server:
        own = settings.model_copy(update={"redis_url": Settings(redis_url=server.url).redis_url})
        with (
            Watched(own) as client,
            running(app := create_app(client, chosen_user)) as address,
            listening(address, POST) as found,
        ):
            next(found)
            current = app.state.spaces.hub("post")._poller.current
            wait_until(current, what="the first poll")
            server.stop()
            before = len(client.reads)
            wait_until(lambda: len(client.reads) > before + 1)
            wait_until(lambda: not current(), what="the values are old")
            with user(address, 7) as alice:
                check_problem(alice.get(f"/v1/stream?post_id={OTHER}"), 503, "unavailable")
            server.start()
            client.react(1, POST, "sad")
            assert next(found).totals == {POST: 1}
