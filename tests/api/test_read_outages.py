"""Reads while PostgreSQL is down, or silent: what Redis knows, and an error in time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event, make_url

from reactions.api import stored_reads
from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable, ReadInterrupted
from reactions.core.settings import Settings
from reactions.redis import keys
from tests.support.engine import Engine
from tests.support.reading import (
    POST,
    USER,
    database_of,
    make_regular,
    make_viral,
    react,
    without_database,
)
from tests.support.waiting import wait_until


def test_without_postgresql_a_feed_is_answered_in_part(small: Engine) -> None:
    make_regular(small, 1)
    make_viral(small, 2)
    react(small, 4, range(1, 4))
    small.drain()
    known = {s.post_id: s for s in small.reactions.summaries([1, 2], 101)}
    small.client.delete(keys.post_reaction_counts(4))
    with without_database(small.settings) as client:
        assert client.summaries([2, 1], 101) == [known[2], known[1]]
        began = time.monotonic()
        with pytest.raises(ReadInterrupted, match="3 of 6 posts are known") as error:
            client.summaries([1, 4, 2, 1, 3, 4], 101)
        assert time.monotonic() - began < 1.5
        assert error.value.store == "postgresql"
        assert error.value.summaries == (known[1], None, known[2], known[1], None, None)


def test_counts_are_answered_where_only_the_user_is_unknown(small: Engine) -> None:
    """The counts are cached, the user is not: with the user no summary is whole."""
    assert small.user_loader.load([2]) == 1
    react(small, POST, range(1, 4))
    small.drain()
    with without_database(small.settings) as client:
        assert client.summaries([POST])[0].total == 3
        assert client.counts(POST)["like"] == 3
        assert client.summaries([POST], 2)[0].reaction == "like"
        with pytest.raises(ReadInterrupted) as error:
            client.summaries([POST], 101)
        assert error.value.summaries == (None,)
        with pytest.raises(ReactionsUnavailable) as unknown:
            client.reaction_of(101, POST)
        assert unknown.value.store == "postgresql"
        client.react(101, POST, "wow")
        assert client.reaction_of(101, POST) == "wow"


def attempts(client: Reactions) -> list[float]:
    """When connections to the database were tried, from now on."""
    tried: list[float] = []
    event.listen(database_of(client), "do_connect", lambda *_: tried.append(time.monotonic()))
    return tried


def test_a_database_that_has_just_failed_is_left_alone(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_reads, "DOWN_S", 30.0)
    with without_database(small.settings) as client:
        tried = attempts(client)
        with pytest.raises(ReadInterrupted):
            client.summaries([1], 5)
        first = len(tried)
        assert first >= 1
        calls: list[Callable[[], object]] = [
            lambda: client.counts(2),
            lambda: client.summaries([3], 5),
            lambda: client.reaction_of(5, 6),
            lambda: client.reactors(1),
            lambda: client.recent(1),
            lambda: client.history(5),
            lambda: client.uniques(1),
        ]
        for call in calls:
            with pytest.raises(ReactionsUnavailable, match="a moment ago") as error:
                call()
            assert error.value.store == "postgresql"
        assert len(tried) == first


def test_a_database_that_failed_is_tried_again(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stored_reads, "DOWN_S", 0.05)
    with without_database(small.settings) as client:
        tried = attempts(client)
        with pytest.raises(ReactionsUnavailable):
            client.counts(1)
        before = len(tried)

        def again() -> bool:
            with pytest.raises(ReactionsUnavailable):
                client.counts(1)
            return len(tried) > before

        wait_until(again, what="another try")


LISTS: dict[str, Callable[[Reactions], object]] = {
    "reactors": lambda client: client.reactors(1),
    "recent": lambda client: client.recent(1),
    "history": lambda client: client.history(5),
    "uniques": lambda client: client.uniques(1),
}


def test_a_list_that_found_no_database_leaves_it_alone_too(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each of them waits for it anew."""
    monkeypatch.setattr(stored_reads, "DOWN_S", 30.0)
    anew = []
    for name, call in LISTS.items():
        with without_database(small.settings) as client:
            tried = attempts(client)
            with pytest.raises(ReactionsUnavailable):
                call(client)
            first = len(tried)
            assert first >= 1
            with pytest.raises(ReactionsUnavailable):
                call(client)
            if len(tried) > first:
                anew.append(name)
    assert anew == []


def test_without_postgresql_a_viral_post_is_whole(small: Engine) -> None:
    make_viral(small, POST)
    with without_database(small.settings) as client:
        assert client.summaries([POST])[0].total == 15
        assert client.uniques(POST) == 15
        assert [r.user_id for r in client.recent(POST, 3)] == [15, 14, 13]


class Wire:
    """Carries bytes to PostgreSQL, until it is cut: then nobody answers, and nothing closes."""

    def __init__(self, database_url: str) -> None:
        url = make_url(database_url)
        folder = url.query["host"]
        assert isinstance(folder, str)
        self._socket = str(Path(folder) / ".s.PGSQL.5432")
        self._server = socket.create_server(("127.0.0.1", 0))
        self._ends: list[socket.socket] = []
        self.cut = False
        port = self._server.getsockname()[1]
        self.url = url.set(host="127.0.0.1", port=port, query={}).render_as_string(False)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._server.accept()
                far = socket.socket(socket.AF_UNIX)
                far.connect(self._socket)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                if not self.cut:
                    target.sendall(data)

    def close(self) -> None:
        for end in (self._server, *self._ends):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


@pytest.mark.parametrize("call", ["counts", "history"])
def test_a_database_that_falls_silent_is_not_waited_for(settings: Settings, call: str) -> None:
    """Its server is frozen, or its host is gone: nothing comes back, not even an error."""
    wire = Wire(settings.database_url.get_secret_value())
    url = Settings(database_url=wire.url.replace("+psycopg2", "")).database_url
    update = {"database_url": url, "read_timeout_s": 0.3}
    with Reactions(settings.model_copy(update=update)) as client:
        calls: dict[str, Callable[[], object]] = {
            "counts": lambda: client.counts(POST),
            "history": lambda: client.history(USER),
        }
        client.counts(99_999)  # a connection in the pool
        wire.cut = True
        with ThreadPoolExecutor(1) as pool:
            found = pool.submit(calls[call])
            try:
                failure = found.exception(4.0)
            except TimeoutError:
                failure = None
            finally:
                wire.close()  # whoever waits, need not wait any longer
        assert isinstance(failure, ReactionsUnavailable), f"{call} did not return within 4 s"
