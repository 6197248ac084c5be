"""What the commands share: errors on one line, progress bars, reports, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from reactions.core.errors import ReactionsError, short

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)  # progress and remarks; standard output is for results


class Commands(click.Group):
    """A group that turns an error of the library into one line and exit code 2."""

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except ReactionsError as error:
            raise click.ClickException(str(error)) from error
        except (OSError, UnicodeError) as error:  # an unusable folder, port or host
            raise click.ClickException(short(f"{type(error).__name__}: {error}", 300)) from error


click.ClickException.exit_code = 2

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)


def missing_extra(extra: str) -> click.ClickException:
    """The error of a command whose optional dependencies are not installed."""
    return click.ClickException(
        f"the extra {extra!r} is not installed; in a checkout, run: pip install '.[{extra}]'"
    )


@contextmanager
def bars(width: int = 16) -> Iterator[Callable[[str, int, int], None]]:
    """Show a progress bar for each phase, on a terminal only.

    Args:
        width: columns for the names of the phases.

    Yields:
        A function that takes the phase, the steps done and the steps in total.
    """
    with Progress(
        TextColumn(f"{{task.description:>{width}}}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
    ) as shown:
        tasks: dict[str, Any] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks:
                tasks[phase] = shown.add_task(phase, total=max(1, total))
            shown.update(tasks[phase], completed=done, total=max(1, total))

        yield show


def print_report(figures: Mapping[str, Any], holds: bool | None) -> None:
    """Print names and values, then whether the stores agree, unless ``holds`` is None."""
    table = Table(show_header=False, box=None)
    for name, value in figures.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {number:,}" for key, number in value.items())
        elif isinstance(value, int | float):
            value = f"{value:,}"
        table.add_row(name, "-" if value is None else str(value))
    out.print(table)
    if holds is not None:
        out.print(
            "[bold green]verified: the stores agree[/]"
            if holds
            else "[bold red]DRIFT: the stores do not agree[/]"
        )


def table_of(*columns: str) -> Table:
    """An empty table without lines."""
    table = Table(box=None)
    for column in columns:
        table.add_column(column)
    return table


def duration(seconds: float) -> str:
    """A time in days, hours, minutes or seconds, whichever reads best."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"


def finish(figures: Mapping[str, Any], as_json: bool, holds: bool) -> None:
    """Print the JSON object if the user asked for it; exit with code 1 unless ``holds``."""
    if as_json:
        click.echo(json.dumps(figures, default=str))  # times as text
    if not holds:
        sys.exit(1)
