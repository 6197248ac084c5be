"""What a drain knows about its claimed changes, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from reactions.core.errors import ReactionsError
from reactions.core.model import Row


@dataclass(slots=True)
class Drained:
    """The result of a drain.

    Attributes:
        rows: changes that are durable now.
        changed: rows that changed in PostgreSQL; the others had a newer version there.
        refused: changes that became dead letters.
        transactions: committed transactions.
        lost: shards whose lease another drain had when this one settled.
        loaded: posts whose complete hash or sample was loaded into the cache.
        leftover: shards that were not finished when the budget ran out.
        postponed: shard -> token of the claim that stays, because a node of a cluster is missing.
    """

    rows: int = 0
    changed: int = 0
    refused: int = 0
    transactions: int = 0
    lost: int = 0
    loaded: int = 0
    leftover: list[int] = field(default_factory=list)
    postponed: dict[int, str] = field(default_factory=dict)


class DrainFailed(ReactionsError):
    """A store failed during a drain. Nothing is lost, and the drain can be repeated.

    Attributes:
        tokens: shard -> token of the claim that remains, or "" for none; the next try sends it.
    """

    def __init__(self, tokens: Mapping[int, str], cause: Exception) -> None:
        self.tokens = dict(tokens)
        super().__init__(str(cause))


@dataclass(slots=True)
class Batch:
    """What a drain knows about claimed posts after it recorded their rows."""

    counts: dict[int, Mapping[int, int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    transaction: int = 0
    """The last transaction of PostgreSQL that committed rows of this batch; 0 for none yet."""
    abandoned: set[int] = field(default_factory=set)
    """Shards whose lease was lost while a large post was being recorded."""
    postponed: set[int] = field(default_factory=set)
    """Shards with a change of a user whose node of a cluster does not answer. Their rows are
    durable; they are settled when the cached reactions of that user can be written."""


Written: TypeAlias = tuple[Sequence[Row], bool]
"""The rows of one transaction, and whether PostgreSQL accepted each of them as the newest."""
