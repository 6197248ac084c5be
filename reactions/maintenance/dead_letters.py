"""Changes that the database refused: kept with the reason, listed, tried again when asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime

from sqlalchemy import delete, select

from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.maintenance.checker import PostChecker
from reactions.postgres.database import Database, RowsRefused
from reactions.postgres.ledger import Ledger
from reactions.postgres.tables import dead_letters
from reactions.redis.connection import Client
from reactions.redis.user_cache import UserCache

_letter = dead_letters.c


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One change, as it was in Redis.

    Attributes:
        value: ``type code:version``, or whatever stood there.
        created_at: when it was refused.
    """

    id: int
    post: str
    user: str
    value: str
    reason: str
    created_at: datetime

    def row(self) -> Row | None:
        """The row that it asks for; None when it asks for none that there could be."""
        code, _, version = self.value.partition(":")
        try:
            return Row(int(self.post), int(self.user), int(code), int(version))
        except ValueError:
            return None


@dataclass(slots=True)
class Replayed:
    """What became of letters that were tried again.

    Attributes:
        recorded: those that the database takes by now, or has newer already; they are gone.
        refused: those that it still refuses, with the reason; they stay.
    """

    recorded: int = 0
    refused: list[str] = field(default_factory=list)


class DeadLetters:
    """Lists and replays."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._database = database
        self._ledger = Ledger(database)
        self._users = UserCache(client, settings)
        self._checker = PostChecker(client, database, settings)

    def list(self, limit: int, ids: Sequence[int] = ()) -> Sequence[DeadLetter]:
        """The oldest letters, or those with these ids. One query."""
        wanted = select(*(dead_letters.c[column.name] for column in fields(DeadLetter)))
        if ids:
            wanted = wanted.where(_letter.id.in_(ids))
        with self._database.transaction() as connection:
            found = connection.execute(wanted.order_by(_letter.id).limit(limit))
            return [DeadLetter(*row) for row in found]

    def replay(self, letters: Sequence[DeadLetter]) -> Replayed:
        """Try to record these again, each in a transaction of its own; the newest version wins.

        What is cached of their posts and users is loaded anew. Safe twice, and at any time.
        """
        done = Replayed()
        for letter in letters:
            row = letter.row()
            if row is None:
                done.refused.append(f"{letter.id}: not a type:version entry")
                continue
            try:
                self._ledger.record([row])
            except RowsRefused as error:
                done.refused.append(f"{letter.id}: {error}")
                continue
            self._checker.reload(row.post_id)
            self._users.drop(row.user_id)
            with self._database.transaction() as connection:
                connection.execute(delete(dead_letters).where(_letter.id == letter.id))
            done.recorded += 1
        return done
