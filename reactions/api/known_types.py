"""What a process knows of the registry of reaction types: read once, and again when it changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence

from reactions.core.errors import ReactionsError, TypesMismatch
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType, Vocabulary, configured, vocabulary
from reactions.redis.connection import Client
from reactions.redis.type_copy import read_types

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""A process that meets an unknown code reads the registry at most once in this time (s)."""

LOOK_S = 2.0
"""How often (s) the relay of a process that reads or writes looks for changes of the registry."""


class KnownTypes:
    """The vocabulary of one client.

    Attributes:
        confirmed: False while Redis has no copy of the registry. The configuration stands in for it
            until then, so that a write never waits for PostgreSQL.
    """

    def __init__(self, client: Client, settings: Settings) -> None:
        """Read the copy of the registry.

        Raises:
            TypesMismatch: the configured types contradict it.
            ReactionsUnavailable: Redis.
        """
        self._client = client
        self._settings = settings
        registered = read_types(client)
        self.confirmed = registered is not None
        self.vocabulary = self._by(registered)
        self._read_at = time.monotonic() - AGAIN_S  # an unknown code is looked up at once

    def renew(self, client: Client | None = None, every_s: float = AGAIN_S) -> Vocabulary:
        """Read the copy of the registry again, and return what is known then.

        Args:
            client: the client to use; None for that of the constructor.
            every_s: do nothing if the last time is less than this ago (s).

        Raises:
            TypesMismatch: the first copy that this process meets contradicts the configuration.
        """
        if self.is_older(every_s):
            self._read_at = time.monotonic()
            try:
                registered = read_types(client or self._client)
                if registered is not None:
                    self.vocabulary = self._by(registered)
                    self.confirmed = True
            except ReactionsError as error:
                if isinstance(error, TypesMismatch) and not self.confirmed:
                    raise
                log.warning("keeping the reaction types that were known: %s", error)
        return self.vocabulary

    def is_older(self, than_s: float) -> bool:
        """Whether the copy was read this long ago (s)."""
        return time.monotonic() - self._read_at >= than_s

    def _by(self, registered: Sequence[ReactionType] | None) -> Vocabulary:
        if registered is not None:
            return vocabulary(self._settings, registered)
        return configured(self._settings.reaction_types)
