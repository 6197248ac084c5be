"""``reactions duties``: the record of what Beat's duties did."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from reactions.cli.console import as_json, finish, out, table_of
from reactions.cli.figures import duration
from reactions.cli.stores import open_stores


@click.command()
@as_json
def duties(as_json: bool) -> None:
    """Show when each duty of Beat last succeeded, and its results.

    A worker process records all its sweeps of a minute as one run.
    """
    from reactions.postgres.duty_runs import DutyRuns

    with open_stores() as stores:
        log = DutyRuns(stores.database)
        totals, last = log.totals(), log.last()
    table = table_of("duty", "succeeded", "runs", "failed", "checked", "found", "repaired", "last")
    now = datetime.now(UTC)
    for total in totals:
        done = total.succeeded_at
        ago = "never" if done is None else f"{duration((now - done).total_seconds())} ago"
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(total.kinds.items()))
        detail = last[total.duty].detail if total.duty in last else ""
        figures = (f"{n:,}" for n in (total.runs, total.failures, total.looked_at))
        name = "sweep (recorded once a minute)" if total.duty == "sweep" else total.duty
        table.add_row(name, ago, *figures, kinds or "-", f"{total.repaired:,}", detail[:80])
    out.print(table if totals else "no duty has run yet; is beat running, and a worker?")
    finish({"duties": [asdict(total) for total in totals]}, as_json, True)
