"""What a run left in the stores, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

Pair = tuple[int, int]
"""(post, user)."""


class Wrong(StrEnum):
    """The kinds of violations."""

    LOST = "lost"
    """A change was acknowledged, and is not in the stores."""
    INVENTED = "invented"
    """The stores have a change that nobody made."""
    DUPLICATED = "duplicated"
    """One change was counted twice, or one version was given twice."""
    REORDERED = "reordered"
    """An older change replaced a newer one."""
    STALE = "stale"
    """A user did not read what they wrote."""
    DISHONEST = "dishonest"
    """An outcome does not agree with the history."""
    UNDEAD = "undead"
    """A reaction exists after a deletion that was acknowledged."""
    DRIFT = "drift"
    """Counts differ from the rows, or Redis from PostgreSQL."""
    PENDING = "pending"
    """A change is not in PostgreSQL long after the last fault."""
    DEAD_LETTER = "dead letter"
    """A valid change is among the dead letters."""


@dataclass(frozen=True, slots=True)
class Violation:
    """One violation, in words; ``at`` is the moment of its cause, if it is known."""

    wrong: Wrong
    words: str
    at: float | None = None


@dataclass(slots=True)
class Final:
    """Both stores after the last change has arrived.

    Attributes:
        rows: (post, user) -> (value, version); the value of a tombstone is None.
        counts: (post, value) -> number, in the counts table.
        shown: (post, value) -> number, as the library shows it.
        differences: differences between Redis and PostgreSQL, in words.
        pending: number of changes that are not durable.
        dead_letters: number of dead letters.
    """

    rows: Mapping[Pair, tuple[str | None, int]] = field(default_factory=dict)
    counts: Mapping[tuple[int, str], int] = field(default_factory=dict)
    shown: Mapping[tuple[int, str], int] = field(default_factory=dict)
    differences: Sequence[str] = ()
    pending: int = 0
    dead_letters: int = 0


@dataclass(slots=True)
class Verdict:
    """The result of the check.

    Attributes:
        violations: broken promises.
        in_window: reactions lost within the fsync window of a killed Redis; they break no
            promise.
    """

    violations: list[Violation] = field(default_factory=list)
    in_window: int = 0

    def number(self, *kinds: Wrong) -> int:
        """The number of violations of these kinds."""
        return sum(violation.wrong in kinds for violation in self.violations)
