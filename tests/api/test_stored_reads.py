"""``StoredReads``: reads fail at once for a moment after PostgreSQL failed."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from sqlalchemy import event

from reactions.api import stored_reads
from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable, ReadInterrupted
from tests.support.engine import Engine
from tests.support.reading import (
    database_of,
    without_database,
)
from tests.support.waiting import wait_until


def attempts(client: Reactions) -> list[float]:
    """Return a list that gets the time of each attempt to connect to the database."""
    tried: list[float] = []
    event.listen(database_of(client), "do_connect", lambda *_: tried.append(time.monotonic()))
    return tried


def test_feeds_do_not_retry_a_database_that_just_failed(
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


def test_a_database_is_tried_again_after_a_moment(
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


def test_lists_do_not_retry_a_database_that_just_failed(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each list would wait for the database again."""
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
