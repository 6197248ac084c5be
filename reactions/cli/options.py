"""Types of arguments that several commands take."""

from __future__ import annotations

from pathlib import Path

import click

from reactions.core.constants import MAX_ID

post_id = click.IntRange(1, MAX_ID)

event_limit = click.IntRange(1, 10_000_000)  # `demo` makes a generated burst in memory

process_count = click.IntRange(1, 64)

port_number = click.IntRange(1, 65_535)

trace_path = click.Path(exists=True, dir_okay=False, path_type=Path)
