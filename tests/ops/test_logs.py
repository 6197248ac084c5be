"""Logs: one line an event, JSON where it is asked for, and a wake-up leads to its batch."""

from __future__ import annotations

import io
import json
import logging
from typing import Any

import pytest

from reactions.api.client import Reactions
from reactions.core.logs import JsonFormatter, as_json, event
from reactions.demo.stack import Stack
from tests.support.waiting import wait_until


@pytest.fixture
def log() -> logging.Logger:
    made = logging.Logger("reactions.test", logging.INFO)
    made.addHandler(logging.StreamHandler(io.StringIO()))
    return made


def lines(log: logging.Logger) -> list[str]:
    (handler,) = log.handlers
    assert isinstance(handler, logging.StreamHandler)
    return str(handler.stream.getvalue()).splitlines()


def written(stack: Stack) -> list[Any]:
    """What worker and beat have logged since they said who they are."""
    text = stack.worker.log.read_text() + stack.beat.log.read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_an_event_is_one_line_of_text_or_json(log: logging.Logger) -> None:
    event(log, logging.INFO, "drained", shards=[1, 2], rows=3, reason="a\nCRITICAL forged")
    event(log, logging.DEBUG, "not wanted")
    assert lines(log) == ["drained shards=1,2 rows=3 reason=a?CRITICAL forged"]
    as_json(log)
    event(log, logging.INFO, "drained", shards=[1, 2], rows=3)
    log.warning("plain %s", "words\nof two lines")
    try:
        int("no number")
    except ValueError:
        log.exception("failed")
    _, *found = map(json.loads, [json.dumps(None), *lines(log)[1:]])
    assert found[0].items() >= {"event": "drained", "shards": [1, 2], "rows": 3}.items()
    assert (found[1]["event"], found[1]["level"]) == ("plain words\nof two lines", "WARNING")
    assert "ValueError: invalid" in found[2]["exception"]
    assert len(found) == 3


def test_a_wake_up_leads_to_its_batch(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "reactions.relay")
    with Reactions(stack.settings) as client:
        client.react(1, 4055, "wow")
        wait_until(lambda: "wake-up sent" in caplog.text, what="the wake-up")
    (sent,) = (r for r in caplog.records if r.message.startswith("wake-up sent"))
    fields = json.loads(JsonFormatter().format(sent))
    assert fields["shards"] == [55]

    def drained() -> list[Any]:
        ours = {"event": "drained", "wake": fields["wake"], "shards": [55]}.items()
        return [entry for entry in written(stack) if entry.items() >= ours]

    wait_until(drained, 30, "the drain of that wake-up")
    (batch,) = drained()
    assert (batch["level"], batch["rows"], batch["changed"]) == ("INFO", 1, 1)


def test_worker_and_beat_write_nothing_but_json(stack: Stack) -> None:
    """But for the banner, which ends before the worker is ready."""
    for process in (stack.worker, stack.beat):
        text = process.log.read_text()
        first = text.index("\n{") + 1
        entries = [json.loads(line) for line in text[first:].splitlines()]
        assert entries
        assert all({"time", "level", "logger", "event"} <= set(entry) for entry in entries)
