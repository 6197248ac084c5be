"""The frozen values that the library returns."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, NamedTuple, TypeVar


class Status(enum.StrEnum):
    """The effect of a call to ``react`` or ``unreact``."""

    CREATED = "created"
    """The user had no reaction on the post, and has one now."""
    REPLACED = "replaced"
    """The user had another reaction on the post; ``previous`` names it."""
    UNCHANGED = "unchanged"
    """The reaction was already there; nothing was written. The library repeats a call whose
    connection broke, so this can also be the answer to a call that was recorded the first time."""
    REMOVED = "removed"
    """The user's reaction was removed; ``previous`` names it."""
    ACCEPTED = "accepted"
    """Recorded; the previous reaction is unknown, because only PostgreSQL has it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The answer to one ``react`` or ``unreact``.

    Attributes:
        status: the effect of the call.
        reaction: the user's reaction on the post after the call; None after a removal.
        previous: the previous reaction; None if there was none, or if it is unknown (``accepted``).
        version: microseconds since 1970 by the clock of Redis, unique and increasing within a
            shard; None if nothing was written (``unchanged``).
    """

    status: Status
    reaction: str | None
    previous: str | None
    version: int | None


Counts = Mapping[str, int]
"""Reaction type -> number of users. Has every configured type; no number is negative. It is a dict
that raises TypeError when it is changed, since summaries with the same counts share it."""


class Tier(enum.StrEnum):
    """How the cache holds a post."""

    REGULAR = "regular"
    """The cache holds every user's reaction, once a drain met the post with its counts cached."""
    VIRAL = "viral"
    """At or above ``viral_threshold``: the cache holds counts and a sample of the reactors."""
    DELETED = "deleted"
    """The post accepts no reactions, and has none."""


class PostTier(enum.IntEnum):
    """The tier of a post in the ``posts`` table, by which duties find their work."""

    REGULAR = 0
    HOT = 1
    """A regular post that recently had at least ``hot_rate`` reactions a second."""
    VIRAL = 2
    RISING = 3
    """Will be viral within ``viral_horizon_s``; the cache already treats it as viral."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What a feed shows for a post.

    Attributes:
        counts: type -> count, with every configured type.
        total: the sum of the counts.
        reaction: the user's own reaction; None if there is none, or if no user was given.
    """

    post_id: int
    counts: Counts
    total: int
    tier: Tier
    reaction: str | None


_set_post_id, _set_counts, _set_total, _set_tier, _set_reaction = (
    vars(Summary)[field.name].__set__ for field in fields(Summary)
)
_new: Any = object.__new__


def make_summary(
    post_id: int, counts: Counts, total: int, tier: Tier, reaction: str | None
) -> Summary:
    """Make a ``Summary`` for a feed in a third of the time that its constructor takes."""
    summary: Summary = _new(Summary)
    _set_post_id(summary, post_id)
    _set_counts(summary, counts)
    _set_total(summary, total)
    _set_tier(summary, tier)
    _set_reaction(summary, reaction)
    return summary


@dataclass(frozen=True, slots=True)
class Reactor:
    """One entry in the list of the users who reacted to a post."""

    user_id: int
    reaction: str


@dataclass(frozen=True, slots=True)
class Reacted:
    """One entry in the history of a user.

    Attributes:
        version: the time of the reaction, in microseconds since 1970.
    """

    post_id: int
    reaction: str
    version: int


Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """One page of a list, newest first.

    Attributes:
        cursor: the argument that returns the next page; None on the last page.
    """

    items: tuple[Item, ...]
    cursor: str | None


class Row(NamedTuple):
    """A change for PostgreSQL: the newest one in the outbox for a (post, user).

    A tuple, because a drain makes thousands of them a second.
    """

    post_id: int
    user_id: int
    reaction: int
    """The code of the type; 0 removes the reaction."""
    version: int


@dataclass(frozen=True, slots=True)
class RelayStats:
    """Counts of the wake-ups of this process since its start, or since its fork.

    Attributes:
        requested: shards for which the script requested a wake-up.
        published: messages that the broker accepted.
        shards_published: shards named in those messages.
        failed: publishes that raised or timed out; Beat's sweep finds their shards.
        dropped: shards that were not published because the circuit breaker was open.
    """

    requested: int
    published: int
    shards_published: int
    failed: int
    dropped: int
