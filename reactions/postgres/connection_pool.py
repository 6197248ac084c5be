"""Says which connections to PostgreSQL must not be used again.

After a switch-over, an address leads to another server, but open connections may still lead to the
old one, which is a standby, or read-only. So an error that tells of the server's role or its end
invalidates the connection and its idle siblings, and the next call connects anew. Reads hear of no
such error: a connection whose server says that it is read-only is replaced every few seconds. A
connection that was idle for long is replaced, too: a firewall may have dropped it.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.exc import DisconnectionError, InvalidatePoolError

from reactions.core.instruments import CONDEMNED

MAX_IDLE_S = 30.0
"""A connection that was idle for longer is replaced before it is used, as one to Redis is."""

MAX_READ_ONLY_S = 5.0
"""A connection to a server that says it is read-only is replaced when it is older, in seconds."""

_STATES = frozenset(
    {
        "25006",  # cannot execute … in a read-only transaction, or during recovery
        "57P01",  # terminating connection due to administrator command
        "57P02",  # terminating connection because of crash of another server process
        "57P03",  # the database system is starting up, shutting down, or in recovery
        "57P04",  # the database was dropped
    }
)
_IN_RECOVERY = ("recovery is in progress", "conflict with recovery", "during recovery")
"""Parts of messages whose code says nothing about the role, for example of LOCK on a standby."""

_NO_WRITES_DURING_RECOVERY = "cannot set transaction read-write mode during recovery"

STANDBY_ADVICE = (
    "the server is a standby, or read-only: let database_url name the primary, or a name that"
    " follows the primary"
)
"""What an operator does about a server that refuses every write."""


def tells_of_role(error: BaseException | None) -> bool:
    """Return whether an error of the driver says that the server does not serve as a primary."""
    return getattr(error, "pgcode", None) in _STATES or refuses_writes(error)


def refuses_writes(error: BaseException | None) -> bool:
    """Return whether an error of the driver says that the server takes no writes."""
    state = getattr(error, "pgcode", None)
    if state == "25006":
        return True
    return state in ("40001", "55000") and any(words in str(error) for words in _IN_RECOVERY)


def refuses_caches(error: BaseException | None) -> bool:
    """Return whether a standby refused a read of what a cache gets."""
    return getattr(error, "pgcode", None) == "0A000" and _NO_WRITES_DURING_RECOVERY in str(error)


def watch(engine: Engine, *, standby: bool = False) -> None:
    """Have the connections of an engine end as this module says.

    Args:
        standby: the address is that of a standby, so that it is read-only tells nothing.
    """
    event.listen(engine, "handle_error", _on_error)
    event.listen(engine, "connect", _on_connect)
    event.listen(engine, "checkout", _on_standby_checkout if standby else _on_checkout)
    event.listen(engine, "checkin", _on_checkin)


def _on_error(context: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    if tells_of_role(context.original_exception):
        CONDEMNED.labels("postgresql").inc()
        context.is_disconnect = True  # SQLAlchemy then invalidates the whole pool


def _on_connect(_: object, record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    record.info["connected_at"] = record.info["idle_since"] = time.monotonic()


def _on_checkin(_: object, record: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    record.info["idle_since"] = time.monotonic()


def _on_standby_checkout(_: object, record: Any, __: object) -> None:  # noqa: ANN401 - SQLAlchemy's
    if time.monotonic() - record.info["idle_since"] > MAX_IDLE_S:
        raise DisconnectionError("idle for long")  # the pool connects anew


def _on_checkout(connection: Any, record: Any, _: object) -> None:  # noqa: ANN401 - SQLAlchemy's
    _on_standby_checkout(connection, record, _)
    now = time.monotonic()
    if is_read_only(connection) and now - record.info["connected_at"] > MAX_READ_ONLY_S:
        CONDEMNED.labels("postgresql").inc()
        raise InvalidatePoolError("read-only")  # so it does for all idle connections


def is_read_only(connection: Any) -> bool:  # noqa: ANN401 - psycopg2's
    """Return whether the server said that it takes no writes. Cost: none, it says so by itself."""
    said = connection.info.parameter_status
    return "on" in (said("in_hot_standby"), said("default_transaction_read_only"))
