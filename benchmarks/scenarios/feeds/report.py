"""The tables of the feeds."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from benchmarks.scenarios.feeds.sides import CLUSTER, OURS, PING, POSTGRES
from benchmarks.support import output


def print_tables(found: Mapping[str, Any], markdown: bool) -> None:
    """One line for each side of each case, then the ratios."""
    output.print_table(
        "Processor µs of one call, and its p50 in µs (medians of the turns)",
        ["read, side", "client", "Redis", "PostgreSQL", "together", "p50"],
        [
            [f"{case}: {side}", *(figures[part] for part in _SHOWN)]
            for case, of in found.items()
            for side, figures in of["sides"].items()
        ],
        markdown,
    )
    ping = median(of["sides"][PING]["redis"] for of in found.values() if PING in of["sides"])
    rows: list[list[object]] = []
    for case, of in found.items():
        for side, ratios in ((OURS, of["to_postgres"]), (CLUSTER, of.get("cluster_to_postgres"))):
            if ratios:
                redis = of["sides"][side]["redis"] / ping
                rows.append([f"{case}: {side}", *_ratios(ratios), round(redis, 1)])
    output.print_table(
        f"Ratios to {POSTGRES}, turn by turn; the last column is Redis in PINGs",
        ["read, side", "together", "least-most", "client", "p50", "PINGs"],
        rows,
        markdown,
    )


_SHOWN = ("client", "redis", "postgres", "together", "p50")


def _ratios(ratios: Mapping[str, Any]) -> list[object]:
    together = ratios["together"]
    return [
        together["median"],
        f"{together['min']}-{together['max']}",
        ratios["client"]["median"],
        ratios["p50"],
    ]
