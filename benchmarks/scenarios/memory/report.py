"""The tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.scenarios.memory.figures import WAYS
from benchmarks.scenarios.memory.plots import LIMIT
from benchmarks.support import output


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """Print the tables: regular posts of each server, viral posts, users, deleted posts."""
    for server, version in figures["servers"].items():
        _print_regular(server, version, figures["regular"], markdown)
    _print_viral(figures, markdown)
    for kind, title in (
        ("users", "Bytes of a user's hash, by its reactions"),
        ("deleted", "Bytes of a deleted post's entry, by the number of deleted posts"),
    ):
        _print_each(title, figures["servers"], figures[kind], markdown)


def _print_regular(
    server: str, version: str, regular: Sequence[Mapping[str, Any]], markdown: bool
) -> None:
    widths = sorted({each["bits"] for each in regular})
    sizes = sorted({each["size"] for each in regular})
    of = {(each["server"], each["bits"], each["way"], each["size"]): each for each in regular}
    header = ["reactions"]
    for bits in widths:
        header += [f"{bits} bits: {way}" for way in WAYS] + ["hash tables, grown"]
    rows: list[list[object]] = []
    for size in sizes:
        row: list[object] = [size]
        for bits in widths:
            found = [of.get((server, bits, way, size)) for way in WAYS]
            row += [each and each["a_reaction"] for each in found]
            row.append(found[1] and f"{found[1]['tables']:.0%}")
        rows.append(row)
    title = f"Bytes a reaction of a regular post, {version} (the limit: {LIMIT:.0f})"
    output.print_table(title, header, rows, markdown)


def _print_viral(figures: Mapping[str, Any], markdown: bool) -> None:
    parts = sorted({part for each in figures["viral"] for part in each["by_key"]})
    output.print_table(
        "Bytes of a viral post (the limit: 50,000)",
        ["server, ids", "reactors", "used_memory", "MEMORY USAGE", *parts],
        [
            [
                f"{figures['servers'][each['server']]}, {each['bits']} bits",
                each["reactors"],
                each["used"],
                each["usage"],
                *(each["by_key"].get(part) for part in parts),
            ]
            for each in figures["viral"]
        ],
        markdown,
    )


def _print_each(
    title: str, servers: Mapping[str, str], found: Sequence[Mapping[str, Any]], markdown: bool
) -> None:
    numbers = sorted({each["number"] for each in found})
    of = {(each["server"], each["bits"], each["number"]): each["bytes"] for each in found}
    output.print_table(
        title,
        ["server, ids", *(f"{number:,}" for number in numbers)],
        [
            [f"{servers[s]}, {bits} bits", *(of.get((s, bits, n)) for n in numbers)]
            for s, bits in dict.fromkeys((s, bits) for s, bits, _ in of)
        ],
        markdown,
    )
