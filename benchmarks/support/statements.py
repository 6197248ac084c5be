"""Sees the SQL that an engine's connections run: by SQLAlchemy, and by psycopg2 directly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, TextClause, event

from reactions.postgres.direct import DirectReads

Statement = tuple[str, Any]
"""The text of a statement, and its parameters."""


@contextmanager
def statements(engine: Engine) -> Iterator[list[Statement]]:
    """The statements that run within the block, in order."""
    seen: list[Statement] = []

    def executing(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:  # noqa: ANN401
        seen.append((statement, values))

    rows = DirectReads.rows

    def direct(
        self: DirectReads,
        statement: TextClause,
        parameters: Mapping[str, Any] | None,
        *,
        first: str = "",
    ) -> Sequence[Any]:
        if self._engine.pool is engine.pool:
            seen.append((str(statement.compile(dialect=engine.dialect)), parameters))
        return rows(self, statement, parameters, first=first)

    event.listen(engine, "before_cursor_execute", executing)
    DirectReads.rows = direct  # type: ignore[method-assign]
    try:
        yield seen
    finally:
        DirectReads.rows = rows  # type: ignore[method-assign]
        event.remove(engine, "before_cursor_execute", executing)
