"""Counts the SQL statements of some processes, from PostgreSQL's own log."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from benchmarks.support.arena import Arena

KINDS = ("statements", "of_them_pings", "transactions")
"""What is counted. BEGIN, COMMIT and the like are no statements; ``SELECT 1`` is a ping."""

_NOT_COUNTED = ("BEGIN", "COMMIT", "ROLLBACK", "DISCARD")


@contextmanager
def logged(arena: Arena, name: str) -> Iterator[Counter[str]]:
    """Count by KINDS what the processes of this application name send within the block.

    The counter that it yields is empty until the block ends.
    """
    counted: Counter[str] = Counter()
    arena.log_statements(True)
    try:
        with arena.stack.postgres.log.open(errors="replace") as log:
            log.seek(0, os.SEEK_END)
            yield counted
            lines = [line for line in log if line.startswith(f"{name}|")]
    finally:
        arena.log_statements(False)
    counted.update(count_statements(lines))


def count_statements(lines: Iterable[str]) -> Counter[str]:
    """Count by KINDS; the server wrote each line with the prefix ``%a|``."""
    marker = "|LOG:  statement: "
    sent = [line.partition(marker)[2].strip() for line in lines if marker in line]
    counted: Counter[str] = Counter()
    counted["transactions"] = sum(line.startswith("BEGIN") for line in sent)
    counted["of_them_pings"] = sum(line == "SELECT 1" for line in sent)
    counted["statements"] = sum(not line.startswith(_NOT_COUNTED) for line in sent)
    return counted
