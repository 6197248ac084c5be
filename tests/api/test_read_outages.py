"""Reads while PostgreSQL is down or silent."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import make_url

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable, ReadInterrupted
from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.reading import (
    POST,
    USER,
    make_regular,
    make_viral,
    react,
    without_database,
)
from tests.support.waiting import bounded


def test_a_feed_is_answered_in_part_without_postgresql(small: Engine) -> None:
    make_regular(small, 1)
    make_viral(small, 2)
    react(small, 4, range(1, 4))
    small.drain()
    known = {s.post_id: s for s in small.reactions.summaries([1, 2], 101)}
    small.client.delete(keys.post_reaction_counts(4))
    with without_database(small.settings) as client:
        assert client.summaries([2, 1], 101) == [known[2], known[1]]
        with (
            bounded(1.5),
            pytest.raises(ReadInterrupted, match="3 of 6 posts are known") as error,
        ):
            client.summaries([1, 4, 2, 1, 3, 4], 101)
        assert error.value.store == "postgresql"
        assert error.value.summaries == (known[1], None, known[2], known[1], None, None)


def test_counts_are_answered_when_only_the_user_is_unknown(small: Engine) -> None:
    """The counts are cached and the user is not, so only summaries without a user are complete."""
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


def test_a_viral_post_is_read_without_postgresql(small: Engine) -> None:
    make_viral(small, POST)
    with without_database(small.settings) as client:
        assert client.summaries([POST])[0].total == 15
        assert client.uniques(POST) == 15
        assert [r.user_id for r in client.recent(POST, 3)] == [15, 14, 13]


class Wire:
    """Forwards bytes to PostgreSQL until it is cut. Then nothing answers, and nothing closes."""

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
def test_a_silent_database_raises_within_the_timeout(settings: Settings, call: str) -> None:
    """The server is frozen or its host is lost: nothing comes back, not even an error."""
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
                wire.close()  # ends every wait
        assert isinstance(failure, ReactionsUnavailable), f"{call} did not return within 4 s"


def test_cold_counts_without_a_database_raise_an_error_that_names_it(settings: Settings) -> None:
    with without_database(settings) as client:
        with pytest.raises(ReactionsUnavailable, match="PostgreSQL") as error:
            client.counts(POST)
        assert error.value.store == "postgresql"
        client.react(1, POST, "like")  # writes do not need PostgreSQL
