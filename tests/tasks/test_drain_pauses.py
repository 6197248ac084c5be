"""The task `drain`: when it pauses between rounds, and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.tasks.lane import Lane
from tests.tasks.steps import POST, SHARD, assert_drained, react


class Pauses:
    """Stands for ``time`` in the module of the task: reactions arrive whenever it pauses."""

    def __init__(self, arrive: Callable[[int], None]) -> None:
        self.number = 0
        self.now = 0.0
        self._arrive = arrive

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.number += 1
        self._arrive(self.number)


def rounds(lane: Lane, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Rows of each round from now on."""
    found: list[int] = []
    persister = type(lane.engine.persister)
    original = persister.record

    def noted(self: Any, claims: Any, done: Any) -> Any:
        before = done.rows
        batch = original(self, claims, done)
        found.append(done.rows - before)
        return batch

    monkeypatch.setattr(persister, "record", noted)
    return found


def test_changes_that_come_while_a_drain_pauses_are_one_round(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    def arrive(number: int) -> None:
        if number == 1:
            react(lane, 2, 3)
            react(lane, 1, 2, post_id=POST + 1)

    monkeypatch.setattr(lane.tasks.drain, "time", Pauses(arrive))
    found = rounds(lane, monkeypatch)
    react(lane, 1)
    lane.run([SHARD])
    assert found == [1, 4]
    assert_drained(lane, 1, 2, 3)


def test_a_drain_that_pauses_ends_after_a_second(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long reactions go on to arrive, so that other tasks have its place."""
    pauses = Pauses(lambda number: react(lane, 1 + number))
    monkeypatch.setattr(lane.tasks.drain, "time", pauses)
    found = rounds(lane, monkeypatch)
    react(lane, 1)
    lane.run([SHARD])
    assert pauses.number in (9, 10)
    assert found == [1] * (1 + pauses.number)


def test_a_drain_does_not_pause_while_more_shards_wait_than_a_round_takes(
    lane: Lane, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses = Pauses(lambda _: None)
    monkeypatch.setattr(lane.tasks.drain, "time", pauses)
    monkeypatch.setattr(lane.tasks.drain, "MAX_SHARDS", 2)
    found = rounds(lane, monkeypatch)
    for post in range(POST, POST + 5):
        react(lane, 1, post_id=post)
    lane.run([SHARD])
    assert found == [2, 2, 1]
    assert pauses.number == 1
