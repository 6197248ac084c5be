"""The public client: the thin synchronous layer that a web tier calls."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from reactions.client import connect
from reactions.hot import Hot
from reactions.load import Loader
from reactions.model import Counts, Outcome, RelayStats
from reactions.relay import Relay
from reactions.settings import Settings
from reactions.validate import check_id
from reactions.write import Writer

if TYPE_CHECKING:
    from reactions.ledger import Ledger


class Reactions:
    """A client of the engine. Thread-safe and fork-safe; make one and share it.

    It connects when first used; to a Redis Cluster, at once. Configured from the environment unless
    settings are given.

    Raises:
        InvalidSettings: the configuration cannot be used.
        ReactionsUnavailable: no node of the cluster answers.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.from_env()
        self._client = connect(self.settings)
        self._hot = Hot(self._client, self.settings)
        self._relay = Relay(self.settings)
        self._writer = Writer(self._hot, self._relay, self.settings)
        self._loader: tuple[int, Ledger, Loader] | None = None

    def react(self, user_id: int, post_id: int, reaction: str) -> Outcome:
        """Give a post a user's reaction, in place of an earlier one.

        One round trip to Redis, whatever the post's size; never PostgreSQL, never the broker.
        What this returns from is durable in Redis's terms and becomes a row in PostgreSQL.

        Args:
            user_id: 1 to 2^63-1.
            post_id: 1 to 2^63-1.
            reaction: one of the configured types.

        Raises:
            InvalidArgument: an argument is refused; nothing was sent.
            ReactionsUnavailable: Redis did not answer within redis_timeout_s, or refuses.
        """
        return self._writer.react(user_id, post_id, reaction)

    def unreact(self, user_id: int, post_id: int) -> Outcome:
        """Take a user's reaction off a post. As ``react`` in cost and errors.

        ``unchanged`` when there was none, ``accepted`` when that could not be known.
        """
        return self._writer.unreact(user_id, post_id)

    def react_many(self, items: Iterable[tuple[int, int, str | None]]) -> list[Outcome]:
        """Many reactions in one pipeline: one round trip for each Redis node.

        Args:
            items: (user_id, post_id, reaction) each, None for a reaction to remove it; at most
                batch_limit of them. All are checked before anything is sent.

        Returns:
            One outcome an item, in order.

        Raises:
            InvalidArgument: an item is refused; nothing was sent.
            BatchInterrupted: some items were not acknowledged; its ``outcomes`` says which.
            ReactionsUnavailable: the connection failed; any of the items may have been recorded.
        """
        return self._writer.react_many(items)

    def counts(self, post_id: int) -> Counts:
        """A post's reactions by type: every configured type, never negative.

        Exact when nothing is pending; otherwise at most a batch behind. One round trip where the
        counts are cached; on a cold post three, and one query of at most as many rows as there
        are types.

        Raises:
            InvalidArgument: nothing was sent.
            ReactionsUnavailable: Redis, or PostgreSQL for a cold post.
        """
        check_id("post_id", post_id)
        counts = self._hot.counts(post_id)
        if counts is None:
            counts = self._load().counts(post_id)
        return {
            # Below zero is possible for a moment, while a guess is pending; it is not shown.
            name: max(0, counts.get(code, 0))
            for name, code in self.settings.reaction_types.items()
        }

    def relay_stats(self) -> RelayStats:
        """What became of this process's wake-ups: published, dropped, failed."""
        return self._relay.stats()

    def close(self) -> None:
        """Publish waiting wake-ups, within a second, and close the connections."""
        self._relay.close()
        self._client.close()
        if self._loader is not None and self._loader[0] == os.getpid():
            self._loader[1].close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _load(self) -> Loader:
        """The database side, for reads of cold posts; made for each process when first needed.

        No lock, which a fork could leave held: of two threads that make one, the later is kept.
        """
        loader = self._loader
        if loader is None or loader[0] != os.getpid():
            # Here, not at the top: a process that only writes never pays for SQLAlchemy.
            from reactions.ledger import Ledger

            ledger = Ledger(self.settings, name="reactions-api")
            loader = (os.getpid(), ledger, Loader(self._hot, ledger, self.settings))
            self._loader = loader
        return loader[2]
