"""What a process knows of the registry of reaction types: read once, and again when it changed."""

from __future__ import annotations

import logging
import time

from reactions.core.errors import ReactionsError, ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.core.type_registry import ReactionType, Vocabulary, vocabulary
from reactions.redis.connection import Client
from reactions.redis.type_copy import read_types

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""A process that meets an unknown code reads the registry at most once in this time (s)."""

LOOK_S = 5.0
"""How often (s) the relay of a process that writes looks for changes of the registry."""


class KnownTypes:
    """The vocabulary of one client."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self.vocabulary = self._load()
        self._read_at = time.monotonic() - AGAIN_S  # an unknown code is looked up at once

    def renew(self, client: Client | None = None, every_s: float = AGAIN_S) -> Vocabulary:
        """Read the copy of the registry again, and return what is known then.

        Args:
            client: the client to use; None for that of the constructor.
            every_s: do nothing if the last time is less than this ago (s).
        """
        now = time.monotonic()
        if now - self._read_at >= every_s:
            self._read_at = now
            try:
                registered = read_types(client or self._client)
                if registered is not None:
                    self.vocabulary = vocabulary(self._settings, registered)
            except ReactionsError as error:
                log.warning("keeping the reaction types that were known: %s", error)
        return self.vocabulary

    def _load(self) -> Vocabulary:
        registered = read_types(self._client)
        if registered is None:
            registered = self._stored()
        return vocabulary(self._settings, registered)

    def _stored(self) -> tuple[ReactionType, ...]:
        """Read the registry itself: Redis is new, or lost its copy."""
        # Imported here: a process that finds the copy and only writes never loads SQLAlchemy.
        from reactions.postgres.database import Database
        from reactions.postgres.type_registry import TypeRegistry

        settings = self._settings
        database = Database(settings, name="reactions-types", timeout_s=settings.read_timeout_s)
        try:
            return TypeRegistry(database).all()
        except ReactionsUnavailable as error:
            raise ReactionsUnavailable(
                "postgresql",
                "Redis has no copy of the registry of reaction types yet, and it cannot be read:"
                f" {error}. To write the copy, start a worker, or run: reactions migrate",
            ) from error
        finally:
            database.close()
