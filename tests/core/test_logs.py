"""``reactions.core.logs``: an event is one line, of text or of JSON."""

from __future__ import annotations

import io
import json
import logging

import pytest

from reactions.core.logs import as_json, event


@pytest.fixture
def log() -> logging.Logger:
    made = logging.Logger("reactions.test", logging.INFO)
    made.addHandler(logging.StreamHandler(io.StringIO()))
    return made


def lines(log: logging.Logger) -> list[str]:
    (handler,) = log.handlers
    assert isinstance(handler, logging.StreamHandler)
    return str(handler.stream.getvalue()).splitlines()


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
