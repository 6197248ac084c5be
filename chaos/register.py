"""The writes of one (post, user), as a register: which value may it have at some moment?

The last value was written by somebody, and no acknowledged write came wholly after it. A call
without an answer took effect before its answer was overdue, up to LATE_S later (its request may lie
in the buffer of a stopped server), or never.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from chaos.history import Fate, Operation

LATE_S = 5.0
"""How late a call without an answer may take effect: longer than the nemesis stops Redis."""

WINDOW_S = 2.0
"""What a killed Redis may lose with ``appendfsync everysec``: it delays writes to its file for up
to two seconds while an fsync runs (redis.conf)."""

READ_LATE_S = 0.5
"""How long an answer may wait until its caller reads it and notes the time."""


class Register:
    """The writes of one (post, user).

    Args:
        losses: when Redis was killed; writes acknowledged just before may be lost.
    """

    def __init__(self, writes: Iterable[Operation], losses: Sequence[float] = ()) -> None:
        self.writes = [write for write in writes if write.fate is not Fate.REFUSED]
        self.losses = losses

    def values(
        self, began: float = math.inf, ended: float = math.inf, *, but: Operation | None = None
    ) -> set[str | None]:
        """The values that a call between these moments may find; ``but`` is that call itself."""
        known = [write for write in self.writes if write.began < ended and write is not but]
        firm = [write.began for write in known if write.ended < began and self.firm(write, ended)]
        newest = max(firm, default=-math.inf)
        possible = {write.value for write in known if latest(write) >= newest}
        return possible if firm else possible | {None}

    def firm(self, write: Operation, at: float = math.inf) -> bool:
        """Whether a write was acknowledged, and no kill of Redis before ``at`` may undo it."""
        return write.fate is Fate.DONE and not any(
            write.ended - READ_LATE_S <= loss <= min(write.ended + WINDOW_S, at)
            for loss in self.losses
        )


def latest(write: Operation) -> float:
    """The latest moment at which a write may have taken effect."""
    return write.ended + (LATE_S if write.fate is Fate.OPEN else 0.0)
