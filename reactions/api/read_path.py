"""The read path of a client: its database, feeds and lists, made at the first read of a process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from reactions.api.known_types import KnownTypes
from reactions.api.relay import Relay
from reactions.core.blocking import DIRECT, Blocking
from reactions.core.settings import Settings
from reactions.core.type_registry import Vocabulary
from reactions.redis.connection import Client

if TYPE_CHECKING:
    from reactions.api.feeds import Feeds
    from reactions.api.lists import Lists
    from reactions.postgres.database import Database
    from reactions.postgres.replica import Replica


class Reads(NamedTuple):
    """The read path of one process."""

    process: int
    database: Database
    feeds: Feeds
    lists: Lists
    replica: Replica | None


class ReadPath:
    """Makes the read path. A forked child makes its own."""

    def __init__(
        self,
        client: Client,
        relay: Relay,
        settings: Settings,
        known: KnownTypes,
        shared: ReadPath | None = None,
    ) -> None:
        """Make nothing yet.

        Args:
            shared: the read path of another space, whose connections this one uses.
        """
        self._client = client
        self._relay = relay
        self._settings = settings
        self._known = known
        self._shared = shared
        self.blocking: Blocking = DIRECT if shared is None else shared.blocking
        """How queries wait; to be set before the first read."""
        self._reads: Reads | None = None
        known.follow(self._learn)

    @property
    def feeds(self) -> Feeds:
        """The summaries and counts of posts."""
        return self.reads().feeds

    @property
    def lists(self) -> Lists:
        """The lists of reactors and of a user's reactions."""
        return self.reads().lists

    def close(self) -> None:
        """Close the connections to the database, if this process made them. Spaces share them."""
        if (made := self._own()) is not None:
            made.database.close()
            if made.replica is not None:
                made.replica.close()

    def _own(self) -> Reads | None:
        made = self._reads
        return made if made is not None and made.process == os.getpid() else None

    def reads(self) -> Reads:
        """Return the read path of this process; its first call makes it.

        There is no lock, because a fork could copy it in the locked state. If two threads create a
        read path at the same time, the later one is kept.
        """
        self._known.confirm()
        if self._known.is_old():
            self._relay.look()
        return self._made()

    def _made(self) -> Reads:
        made = self._own()
        if made is None:
            if self._shared is not None:
                made = self._share(self._shared._made())
            else:
                made = self.blocking.run(self._open)  # it takes long: it imports SQLAlchemy
            self._reads = made
        return made

    def _share(self, other: Reads) -> Reads:
        replica = other.replica.of_space(self._settings) if other.replica else None
        return self._make(other.database.of_space(self._settings), replica)

    def _open(self) -> Reads:
        # Imported here: a process that only writes never loads SQLAlchemy.
        from reactions.postgres.database import Database
        from reactions.postgres.replica import Replica

        settings, wait = self._settings, self._settings.read_timeout_s
        database = Database(settings, name="reactions-api", timeout_s=wait)
        # Half of the time, since the primary may have to answer after it.
        replica = Replica(settings, database, wait / 2) if settings.replica_url else None
        return self._make(database, replica)

    def _learn(self, known: Vocabulary | None) -> None:
        """Show new names of types from now on."""
        if known is not None and (made := self._own()) is not None:
            self._reads = self._make(made.database, made.replica)

    def _make(self, database: Database, replica: Replica | None) -> Reads:
        from reactions.api.feeds import Feeds
        from reactions.api.lists import Lists
        from reactions.api.stored_reads import StoredReads

        settings = self._settings.model_copy(update={"reaction_types": self._known.names()})
        stored = StoredReads(self.blocking)
        return Reads(
            os.getpid(),
            database,
            Feeds(self._client, database, stored, self._relay, settings),
            Lists(self._client, database, stored, settings, replica),
            replica,
        )
