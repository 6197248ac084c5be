"""What a drain knows of the changes it took, and what it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from reactions.core.errors import ReactionsError
from reactions.core.model import Row


@dataclass(slots=True)
class Drained:
    """What a drain did.

    Attributes:
        rows: changes that are durable now.
        changed: those of them that really changed a row.
        refused: changes that went to the dead letters.
        transactions: transactions that were committed.
        lost: shards whose lease was another's when the batch was to be settled.
        loaded: posts whose complete hash or sample was cached.
        leftover: shards with more to do when the budget ran out.
    """

    rows: int = 0
    changed: int = 0
    refused: int = 0
    transactions: int = 0
    lost: int = 0
    loaded: int = 0
    leftover: list[int] = field(default_factory=list)


class DrainFailed(ReactionsError):
    """A store failed in the middle of a drain; nothing is lost, all of it can be done again.

    Attributes:
        tokens: shard -> token of the claim that stands, or "", to be presented at the next try.
    """

    def __init__(self, tokens: Mapping[int, str], cause: Exception) -> None:
        self.tokens = dict(tokens)
        super().__init__(str(cause))


@dataclass(slots=True)
class Batch:
    """What is known of claimed posts once their rows are recorded."""

    counts: dict[int, Mapping[int, int]] = field(default_factory=dict)
    refused: set[int] = field(default_factory=set)
    deleted: set[int] = field(default_factory=set)
    abandoned: set[int] = field(default_factory=set)
    """Shards whose lease was lost while a large post was being recorded."""


Written: TypeAlias = tuple[Sequence[Row], bool]
"""Rows of one transaction, and whether PostgreSQL had no newer version of any of them."""
