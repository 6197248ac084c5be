"""``reactions backfill``: the reactions of an older table."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import TextIO

import click

from reactions.cli.console import as_json, bars, err, finish, print_report
from reactions.cli.options import of_space
from reactions.cli.stores import open_stores


@click.command()
@click.argument("source", type=click.File(), default="-")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    metavar="TIME",
    required=True,
    help="Time from which on all writes went to this engine too, such as 2026-01-31T12:00:00Z."
    " A later at_us counts as this time.",
)
@as_json
@of_space
def backfill(source: TextIO, before: datetime, as_json: bool) -> None:
    """Import the reactions of an older table from CSV.

    Reads SOURCE, or standard input. The header is post_id,user_id,type,at_us, where at_us is in
    microseconds since 1970. Rows are sorted by post_id, at_us DESC, user_id. Safe to run again, and
    while users react: a reaction that this engine recorded is newer and wins. docs/adoption.md
    describes every step.
    """
    from reactions.maintenance.backfill import Backfill

    with open_stores() as stores, bars() as progress:
        work = Backfill(*stores)
        try:
            done = work.run(
                source,
                round(before.timestamp() * 1_000_000),
                lambda lines: progress("backfilling", lines, None),
            )
        except (Exception, KeyboardInterrupt):
            if post := work.done.reached:
                err.print(
                    f"every post up to {post} is durable: continue with this one,"
                    " or run the whole backfill again"
                )
            raise
    result = asdict(done) | {"refused": len(done.refused)}
    print_report(result, None)
    finish(result, as_json, True)
