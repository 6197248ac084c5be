"""Options, and types of arguments, that several commands take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from reactions.core.constants import DEFAULT_SPACE, MAX_ID

post_id = click.IntRange(1, MAX_ID)

event_limit = click.IntRange(1, 10_000_000)  # `demo` makes a generated burst in memory

process_count = click.IntRange(1, 64)

port_number = click.IntRange(1, 65_535)

trace_path = click.Path(exists=True, dir_okay=False, path_type=Path)

_SPACE = "reactions.space"

Command = TypeVar("Command", bound=Callable[..., Any])


def of_space(command: Command) -> Command:
    """Give a command the option ``--space``; ``chosen_space`` returns its value."""

    def keep(context: click.Context, _: click.Parameter, value: str) -> None:
        context.meta[_SPACE] = value

    option = click.option(
        "--space",
        metavar="NAME",
        default=DEFAULT_SPACE,
        callback=keep,
        expose_value=False,
        help="Another space than post, such as comment.",
    )
    return option(command)


def chosen_space() -> str:
    """Return the space that the running command is about."""
    context = click.get_current_context(silent=True)
    return DEFAULT_SPACE if context is None else str(context.meta.get(_SPACE, DEFAULT_SPACE))
