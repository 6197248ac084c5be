"""``reactions partitions``: how many partitions the table of reactions has, and a change of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from reactions.cli.console import as_json, finish, out, say
from reactions.cli.options import chosen_space, of_space
from reactions.core.constants import MAX_PARTITIONS
from reactions.core.settings import Settings

if TYPE_CHECKING:
    from reactions.postgres.repartition import Repartition

EVERY_S = 10.0
"""How often the command says how far it is."""


@click.command()
@click.argument("number", type=click.IntRange(1, MAX_PARTITIONS), required=False)
@as_json
@of_space
def partitions(number: int | None, as_json: bool) -> None:
    """Show or change the number of partitions of reactions.

    NUMBER is the new one, 1 to 256. The rows are copied while everything runs, which takes as much
    disk as the table again. At the end the tables change their names, within a second. Safe to kill
    at any time: the next run continues. The present number gives up a change that is under way.
    Needs the rights of the owner of the tables.
    """
    from reactions.cli.interrupts import interruptible
    from reactions.postgres.repartition import Repartition

    with interruptible():
        work = Repartition(Settings.from_env().of_space(chosen_space()))
        if number is not None:
            _change(work, number)
        found = work.numbers()
    out.print(f"the table reactions has {found.present} partitions")
    if found.following:
        out.print(f"a change is under way; run: reactions partitions {found.following}")
    finish({"partitions": found.present, "following": found.following}, as_json, True)


def _change(work: Repartition, number: int) -> None:
    said, rows, last = time.monotonic(), 0, ""
    for step in work.steps(number):
        rows += step.rows
        if step.name != last or time.monotonic() - said > EVERY_S:
            say(f"{step.name}: {rows:,} rows" if step.rows else step.name)
            said, last = time.monotonic(), step.name
