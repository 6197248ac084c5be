"""What a process knows of the registry of reaction types: read once, and again when it changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import suppress

from reactions.core.errors import (
    LayoutMismatch,
    ReactionsError,
    ReactionsUnavailable,
    TypesMismatch,
)
from reactions.core.settings import Settings
from reactions.core.type_registry import Vocabulary, configured, vocabulary
from reactions.core.validate import check_reaction
from reactions.redis.connection import Client
from reactions.redis.keys import keys_of
from reactions.redis.type_copy import read_types

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""A process that meets an unknown code reads the registry at most once in this time (s)."""

LOOK_S = 2.0
"""How often (s) the relay of a process that reads or writes looks for changes of the registry."""


class KnownTypes:
    """The vocabulary of one client. It does nothing until it is first asked."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._vocabulary: Vocabulary | None = None
        self._confirmed = False  # until Redis has a copy, the configuration stands in for it
        self._read_at = 0.0
        self._met_at = -AGAIN_S
        self._followers: list[Callable[[Vocabulary | None], None]] = []

    def follow(self, follower: Callable[[Vocabulary | None], None]) -> None:
        """Call this with each new vocabulary, and with None when it must be asked for again."""
        self._followers.append(follower)

    def vocabulary(self, client: Client | None = None) -> Vocabulary:
        """Return what is known. The first call reads the copy of the registry: one round trip.

        Args:
            client: the client to use; None for that of the constructor.

        Raises:
            LayoutMismatch: this version does not work with the keys in Redis.
            TypesMismatch: the configured types contradict the registry.
            ReactionsUnavailable: Redis failed.
        """
        known = self._vocabulary
        if known is None:
            known = self._read(client or self._client)
            self._read_at = time.monotonic()
            self._tell(known)
        return known

    def names(self) -> Mapping[str, int]:
        """Return name -> code of what is known; of the configuration while nothing was read."""
        known = self._vocabulary
        return self._settings.reaction_types if known is None else known.names

    def code(self, reaction: object) -> int:
        """Return the code of a type that a caller names.

        Raises:
            InvalidArgument: there is no such type.
            TypesMismatch: the configured types contradict the registry.
            ReactionsUnavailable: Redis failed.
        """
        try:
            given = self.vocabulary().given
        except ReactionsUnavailable:
            check_reaction(self._settings.reaction_types, reaction)  # a wrong argument first
            raise
        return check_reaction(given, reaction)

    def confirm(self) -> None:
        """Read the copy if this has not succeeded yet. It says nothing when Redis fails.

        Raises:
            LayoutMismatch: this version does not work with the keys in Redis.
            TypesMismatch: the configured types contradict the registry.
        """
        if not self._confirmed:
            with suppress(ReactionsUnavailable):  # the read itself may need Redis, and says so
                if self._vocabulary is None:
                    self.vocabulary()
                else:
                    self.renew()

    def meet(self) -> Vocabulary:
        """Return what is known after a look at the copy because of a code that nobody can name.

        Raises:
            TypesMismatch: the first copy that this process meets contradicts the configuration.
        """
        if time.monotonic() - self._met_at < AGAIN_S:
            return self.vocabulary()
        self._met_at = time.monotonic()
        return self.renew(every_s=0)

    def is_old(self) -> bool:
        """Whether it is time to look for changes of a copy that was read."""
        return self._confirmed and time.monotonic() - self._read_at >= LOOK_S

    def look(self, client: Client) -> None:
        """Read the copy again if the last time is long enough ago; with this client.

        Raises:
            ReactionsUnavailable: the first read failed.
        """
        if not self._read_at:  # nobody has used this client, or this space
            return
        with suppress(LayoutMismatch, TypesMismatch):  # the next call says it to its caller
            self.renew(client, LOOK_S if self._confirmed else AGAIN_S)

    def renew(self, client: Client | None = None, every_s: float = AGAIN_S) -> Vocabulary:
        """Read the copy of the registry again, and return what is known then.

        Args:
            client: the client to use; None for that of the constructor.
            every_s: do nothing if the last time is less than this ago (s).

        Raises:
            LayoutMismatch: this version does not work with the keys in Redis any more.
            TypesMismatch: the first copy that this process meets contradicts the configuration.
            ReactionsUnavailable: the first read failed.
        """
        before = self.vocabulary(client)
        if time.monotonic() - self._read_at < every_s:
            return before
        self._read_at = time.monotonic()
        try:
            known = self._read(client or self._client, otherwise=before)
        except ReactionsError as error:
            first = isinstance(error, TypesMismatch) and not self._confirmed
            if first or isinstance(error, LayoutMismatch):  # what it writes would be lost or wrong
                self._vocabulary, self._confirmed = None, False
                self._tell(None)
                raise
            log.warning("keeping the reaction types that were known: %s", error)
            return before
        if known != before:
            self._tell(known)
        return known

    def _read(self, client: Client, otherwise: Vocabulary | None = None) -> Vocabulary:
        """Read the copy; without one, what is known stays, at first the configuration."""
        registered = read_types(client, keys_of(self._settings.space))
        if registered is not None:
            known = vocabulary(self._settings, registered)
            self._confirmed = True
        else:
            known = otherwise or configured(self._settings.reaction_types)
        self._vocabulary = known
        return known

    def _tell(self, known: Vocabulary | None) -> None:
        for follower in self._followers:
            follower(known)
