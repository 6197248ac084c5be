"""The table, a column for each threshold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.support import output


def print_tables(found: Sequence[Mapping[str, Any]], markdown: bool) -> None:
    """Print the table."""
    header = ["figure", *(f"threshold {each['threshold']:,}" for each in found)]
    item = found[0]["item"]["item"]
    rows: list[tuple[str, list[Any]]] = [
        (name.replace("_", " "), [each[name] for each in found])
        for name in (
            "crossed",
            "flagged",
            "flagged_ahead",
            "flagged_in_vain",
            "missed",
            "median_lead_min",
            "shortest_lead_min",
            "median_lead_of_last_flag_min",
            "falls",
            "promoted_are_those_that_crossed",
        )
    ]
    rows += [
        (f"item {item}: {name.replace('_', ' ')}", [each["item"][name] for each in found])
        for name in ("lead_min", "lead_of_last_flag_min", "reactions_when_flagged", "flags")
    ]
    for kind, title in (
        ("same_lead", f"a plain threshold with the lead of item {item}"),
        ("same_vain", "a plain threshold with as many in vain"),
    ):
        rows += [
            (
                f"{title}: {name.replace('_', ' ')}",
                [_of(each["plain"], kind, name) for each in found],
            )
            for name in ("threshold", "flagged", "in_vain", "item_lead_min", "median_lead_min")
        ]
    output.print_table("Rising posts", header, [[n, *v] for n, v in rows], markdown)


def _of(plain: Mapping[str, Mapping[str, Any]], kind: str, name: str) -> Any:  # noqa: ANN401
    return plain[kind][name] if kind in plain else None
