"""Logs: one line for each event with its fields; JSON if REACTIONS_LOG_JSON is set.

The process that sends a wake-up logs its id at DEBUG, and so do the drains that it starts, so that
a search for the id finds both.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from reactions.core.errors import short

Field = float | str | list[int]


def event(log: logging.Logger, level: int, name: str, **fields: Field) -> None:
    """Log an event; in text, the fields follow its name."""
    if log.isEnabledFor(level):
        shown = {k: short(v, 100) if isinstance(v, str) else v for k, v in fields.items()}
        said = " ".join([name, *(f"{k}={_compact(v)}" for k, v in shown.items())])
        log.log(level, "%s", said, extra={"reactions": {"event": name, **shown}})


def _compact(value: Field) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


class JsonFormatter(logging.Formatter):
    """Formats a record as one JSON object: time, level, logger, process, then the event."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "process": record.process,
        }
        entry |= getattr(record, "reactions", None) or {"event": record.getMessage()}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


def as_json(logger: logging.Logger) -> None:
    """Make all handlers of a logger write JSON."""
    for handler in logger.handlers:
        handler.setFormatter(JsonFormatter())
