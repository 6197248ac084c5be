"""The tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.support import output


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """Print one table for each of the four measurements."""
    for title, part in (
        ("react(), one caller, in ms", "cost"),
        ("From the acknowledgement until the write is on the disk, in ms", "window"),
        ("Server killed under load, restarted from its file", "kill"),
        ("Primary lost with its disk, replica promoted", "promotion"),
    ):
        rows = figures[part]
        names = list(next(iter(rows.values())))
        output.print_table(
            title, ["", *names], [[mode, *each.values()] for mode, each in rows.items()], markdown
        )
