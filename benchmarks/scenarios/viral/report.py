"""The tables of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.support import output


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """Print the tables."""
    plain = output.plain_rows(figures)
    plain += [(f"promotion: {n}", v) for n, v in figures["promotion"].items() if n != "slow"]
    output.print_table("One viral post", ["figure", "value"], plain, markdown)
    calls = {f"react(), {phase}": q for phase, q in figures["react_us"].items()}
    calls["react_many()"] = figures["react_many_us"]
    output.print_table(
        "Times in µs",
        ["call", "n", "p50", "p99", "max"],
        [[name, *q.values()] for name, q in calls.items()],
        markdown,
    )
    at, end = figures["memory_at_promotion"], figures["memory"]
    output.print_table(
        "Memory of the post's keys in bytes (MEMORY USAGE)",
        ["key", "soon after the promotion", "at the end"],
        [
            *([part, at.get(part), size] for part, size in end.items()),
            ["sum", sum(at.values()), sum(end.values())],
        ],
        markdown,
    )
    for title, found in (
        ("Commands that blocked the server for 1 ms or more", figures["slow"]),
        ("The same, around the promotion", figures["promotion"]["slow"]),
    ):
        output.print_table(
            title,
            ["command", "slow ones", "longest in µs"],
            [list(each.values()) for each in found],
            markdown,
        )
    output.print_table(
        "The server's latency monitor (events of 1 ms or more)",
        ["event", "latest in ms", "longest in ms", "seconds with one"],
        [list(each.values()) for each in figures["latency_events"]],
        markdown,
    )
