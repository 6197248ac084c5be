"""Posts that a loss of a store is tried on, and the ways to lose it."""

from __future__ import annotations

import io
from typing import Any

from reactions.postgres.tables import metadata
from tests.maintenance.damage import execute
from tests.support.engine import Engine

REGULAR, VIRAL, DELETED = 1042, 1143, 1044


def fill(engine: Engine) -> None:
    client = engine.reactions
    for post, users in ((REGULAR, 6), (VIRAL, 15), (DELETED, 3)):
        client.react_many((user, post, "like") for user in range(1, users + 1))
    engine.drain()
    client.delete_post(DELETED)
    while any(engine.erasure_requests.unfinished()):
        engine.eraser.erase()


def dump_redis(engine: Engine) -> dict[bytes, bytes]:
    """A snapshot of the server."""
    return {key: engine.client.dump(key) for key in engine.client.scan_iter()}  # type: ignore[misc]


def restore_redis(engine: Engine, snapshot: dict[bytes, bytes]) -> None:
    engine.client.flushall()
    for key, value in snapshot.items():
        life = 0 if key.startswith(b"outbox:") or key.endswith((b"pending", b"delta")) else 60_000
        engine.client.restore(key, life, value)


def dump_database(engine: Engine) -> dict[str, bytes]:
    """The rows of every table, as ``pg_dump`` writes them."""
    dumped = {}
    for table in metadata.sorted_tables:
        rows = io.BytesIO()
        _copy(engine, f"COPY (SELECT * FROM reactions.{table.name}) TO STDOUT", rows)  # noqa: S608
        dumped[table.name] = rows.getvalue()
    return dumped


def restore_database(engine: Engine, dumped: dict[str, bytes]) -> None:
    """Put back the rows of a dump. What was committed since is lost."""
    for table in reversed(metadata.sorted_tables):
        execute(engine, f"DELETE FROM {table.name}")  # noqa: S608
    for table in metadata.sorted_tables:
        _copy(engine, f"COPY reactions.{table.name} FROM STDIN", io.BytesIO(dumped[table.name]))


def _copy(engine: Engine, statement: str, rows: io.BytesIO) -> None:
    with engine.database.engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        driver.cursor().copy_expert(statement, rows)
