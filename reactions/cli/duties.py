"""``reactions duties``: the record of what Beat's duties did."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from reactions.cli.console import as_json, finish, out, table_of
from reactions.cli.figures import count, duration
from reactions.cli.options import of_space
from reactions.cli.stores import open_stores


@click.command()
@as_json
@of_space
def duties(as_json: bool) -> None:
    """Show when each duty of Beat last succeeded, and its results.

    A worker process records all its sweeps of a minute as one run.
    """
    from reactions.postgres.duty_runs import DutyRuns

    with open_stores() as stores:
        log = DutyRuns(stores.database)
        totals, last = log.totals(), log.last()
    table = table_of("duty", "succeeded", "runs", "failed", "checked", "found", "repaired")
    now = datetime.now(UTC)
    for total in totals:
        done = total.succeeded_at
        ago = "never" if done is None else f"{duration((now - done).total_seconds())} ago"
        found = sum(total.kinds.values())
        figures = (total.runs, total.failures, total.looked_at, found, total.repaired)
        table.add_row(total.duty, ago, *map(count, figures))
    out.print(table if totals else "no duty has run yet; is beat running, and a worker?")
    for total in totals:
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(total.kinds.items()))
        detail = last[total.duty].detail if total.duty in last else ""
        if kinds:
            out.print(f"{total.duty} found: {kinds}")
        if detail:
            out.print(f"{total.duty}, the last run: {detail}")
    finish({"duties": [asdict(total) for total in totals]}, as_json, True)
