"""Dead letters: the changes that PostgreSQL refuses, kept with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime

from sqlalchemy import delete, func, select
from sqlalchemy.dialects.postgresql import insert

from reactions.core.model import Row
from reactions.postgres.database import Database
from reactions.postgres.tables import dead_letters

MAX_TEXT = 500
"""Characters kept of each field: an index of PostgreSQL refuses more than 2,700 bytes."""

_letter = dead_letters.c


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused change, as it was in Redis.

    Attributes:
        value: ``type code:version``, or the text that Redis had instead.
        created_at: when PostgreSQL refused it.
    """

    id: int
    post: str
    user: str
    value: str
    reason: str
    created_at: datetime

    def row(self) -> Row | None:
        """Return the row that this change asks for; None if it is not a valid row."""
        code, _, version = self.value.partition(":")
        try:
            return Row(int(self.post), int(self.user), int(code), int(version))
        except ValueError:
            return None


class DeadLetters:
    """Adds, lists and removes dead letters. Each method is one query."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, post: str, user: str, value: str, reason: str) -> None:
        """Keep a change that the database refuses. A second call with the same change does nothing.

        Raises:
            ReactionsUnavailable: PostgreSQL cannot be reached; the change was not kept.
        """
        with self._database.transaction() as connection:
            connection.execute(
                insert(dead_letters)
                .values(post=_clean(post), user=_clean(user), value=_clean(value), reason=reason)
                .on_conflict_do_nothing()
            )

    def count(self) -> int:
        """Return how many there are."""
        with self._database.transaction() as connection:
            return connection.execute(select(func.count()).select_from(dead_letters)).scalar_one()

    def list(self, limit: int, ids: Sequence[int] = ()) -> Sequence[DeadLetter]:
        """Return the oldest dead letters, or those with these ids."""
        wanted = select(*(dead_letters.c[column.name] for column in fields(DeadLetter)))
        if ids:
            wanted = wanted.where(_letter.id.in_(ids))
        with self._database.transaction() as connection:
            found = connection.execute(wanted.order_by(_letter.id).limit(limit))
            return [DeadLetter(*row) for row in found]

    def remove(self, letter: DeadLetter) -> None:
        """Delete one, after its change was recorded."""
        with self._database.transaction() as connection:
            connection.execute(delete(dead_letters).where(_letter.id == letter.id))


def _clean(value: str) -> str:
    """Make text that PostgreSQL can hold and index: without NUL, and not too long."""
    return value.replace("\0", "\\0")[:MAX_TEXT]
