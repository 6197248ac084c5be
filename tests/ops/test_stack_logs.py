"""Logs of a stack: JSON lines, and a wake-up that leads to its batch."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from reactions.api.client import Reactions
from reactions.core.logs import JsonFormatter
from reactions.demo.stack import Stack
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def written(stack: Stack) -> list[Any]:
    """What worker and beat have logged after their banners."""
    text = stack.worker.log.read_text() + stack.beat.log.read_text()
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


def test_a_wake_up_leads_to_its_batch(stack: Stack, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "reactions.api.relay")
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


def test_worker_and_beat_log_json_only(stack: Stack) -> None:
    """Except for their banners, which end before the worker is ready."""
    for process in (stack.worker, stack.beat):
        text = process.log.read_text()
        first = text.index("\n{") + 1
        entries = [json.loads(line) for line in text[first:].splitlines()]
        assert entries
        assert all({"time", "level", "logger", "event"} <= set(entry) for entry in entries)
