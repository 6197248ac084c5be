"""Records dead letters again, when an operator asks for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from reactions.core.settings import Settings
from reactions.maintenance.checker import PostChecker
from reactions.postgres.database import Database, RowsRefused
from reactions.postgres.dead_letters import DeadLetter, DeadLetters
from reactions.postgres.ledger import Ledger
from reactions.redis.connection import Client
from reactions.redis.user_cache import UserCache


@dataclass(slots=True)
class Replayed:
    """The outcome of a replay.

    Attributes:
        recorded: how many the database now accepts, or already has in a newer version; they are
            removed from the dead letters.
        refused: those that the database still refuses, with the reason; they stay.
    """

    recorded: int = 0
    refused: list[str] = field(default_factory=list)


class DeadLetterReplay:
    """Tries to record dead letters again."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._dead_letters = DeadLetters(database)
        self._ledger = Ledger(database)
        self._users = UserCache(client, settings)
        self._checker = PostChecker(client, database, settings)

    def replay(self, letters: Sequence[DeadLetter]) -> Replayed:
        """Record each in a transaction of its own; the newest version wins.

        Reloads the caches of their posts, and drops those of their users. Safe to run again, and
        at any time.

        Raises:
            ReactionsUnavailable: a store cannot be reached; a second replay continues.
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
            self._dead_letters.remove(letter)
            done.recorded += 1
        return done
