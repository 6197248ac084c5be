"""The frozen values that the library returns."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar


class Status(enum.StrEnum):
    """What a call to ``react`` or ``unreact`` did."""

    CREATED = "created"
    """The user had no reaction on the post; now there is one."""
    REPLACED = "replaced"
    """The user had another reaction on the post; ``previous`` names it."""
    UNCHANGED = "unchanged"
    """It was so already; nothing was written. Also where the connection broke after the script had
    run, and the call was sent once more by itself."""
    REMOVED = "removed"
    """The user's reaction is gone; ``previous`` names it."""
    ACCEPTED = "accepted"
    """Recorded, but the earlier reaction could not be known without a query."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one ``react`` or ``unreact``.

    Attributes:
        status: what happened.
        reaction: the user's reaction on the post from now on; None after a removal.
        previous: the reaction before; None if there was none or it is not known (``accepted``).
        version: microseconds since 1970 by the clock of Redis, made unique and rising for each
            shard; None where nothing was written (``unchanged``).
    """

    status: Status
    reaction: str | None
    previous: str | None
    version: int | None


Counts = Mapping[str, int]
"""Reaction type -> number of users, every configured type present, never negative."""


class Tier(enum.StrEnum):
    """How a post is kept."""

    REGULAR = "regular"
    """Everyone's reaction is cached once the post is used often."""
    VIRAL = "viral"
    """At and above the threshold: counts, total, and a sample of the newest reactors."""
    DELETED = "deleted"
    """It refuses reactions, and has none."""


class PostTier(enum.IntEnum):
    """How the database notes the tier of a post, for those that look for work."""

    REGULAR = 0
    HOT = 1
    """Regular, but drained at ``hot_rate`` or more lately."""
    VIRAL = 2
    RISING = 3
    """On its way to become viral, and treated so already."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a feed shows of a post.

    Attributes:
        counts: by type, every configured type present.
        total: their sum.
        reaction: the user's own; None for none, or when no user was given.
    """

    post_id: int
    counts: Counts
    total: int
    tier: Tier
    reaction: str | None


@dataclass(frozen=True, slots=True)
class Reactor:
    """One user's reaction in a list of who reacted on a post."""

    user_id: int
    reaction: str


@dataclass(frozen=True, slots=True)
class Reacted:
    """One of a user's reactions in their history.

    Attributes:
        version: when, in microseconds since 1970.
    """

    post_id: int
    reaction: str
    version: int


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A part of a list, newest first.

    Attributes:
        cursor: to be given back for the next page; None after the last one.
    """

    items: tuple[Item, ...]
    cursor: str | None


@dataclass(frozen=True, slots=True)
class Row:
    """One change on its way to PostgreSQL: the newest the outbox knows of a (post, user)."""

    post_id: int
    user_id: int
    reaction: int
    """The type's code; 0 removes."""
    version: int


@dataclass(frozen=True, slots=True)
class RelayStats:
    """What became of the wake-ups of this process since it started (or was forked).

    Attributes:
        requested: shards that the script asked to wake.
        published: messages that the broker took.
        shards_published: shards named in those messages.
        failed: publishes that raised or timed out; Beat's sweep finds their shards.
        dropped: shards not published because the circuit breaker was open.
    """

    requested: int
    published: int
    shards_published: int
    failed: int
    dropped: int
