"""Rows a second of ``reactions backfill``: an older table, copied into an empty system, twice.

``python -m benchmarks backfill --json``: one process, on servers without workers or writers. The
time includes reading the CSV.
"""

from __future__ import annotations

import io
import time
from typing import Any

import click
from sqlalchemy import text

from benchmarks.scenarios.rebuild.writer import sizes
from benchmarks.support import machine, output, servers
from benchmarks.support.ids import spread_id
from benchmarks.support.output import Show
from reactions.cli.console import bars, print_report
from reactions.core.settings import Settings
from reactions.maintenance.backfill import HEADER, Backfill
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.redis.connection import Client, connect

ROWS_A_POST = 20
"""On average; Zipf's law gives the largest post at most 2,000."""

START_US, GAP_US = 1_700_000_000_000_000, 1_000_000
"""Time of the newest reaction of each post, and the time between two reactions."""


def older_table(rows: int) -> str:
    """A CSV like that of deploy/backfill.sql, with about this number of likes."""
    lines = [HEADER]
    for post, size in sizes(max(1, rows // ROWS_A_POST), rows).items():
        for number in range(size):
            user = spread_id(1 + post * 7_919 + number, 31)
            lines.append(f"{post},{user},like,{START_US - number * GAP_US}")
    return "\n".join(lines) + "\n"


def copy(at: tuple[Client, Database, Settings], table: str, phase: str, show: Show) -> float:
    """Copy the table; returns the seconds."""
    rows = table.count("\n") - 1
    began = time.perf_counter()
    Backfill(*at).run(
        io.StringIO(table), time.time_ns() // 1_000, lambda done: show(phase, done, rows)
    )
    return time.perf_counter() - began


def run(settings: Settings, rows: int, show: Show) -> dict[str, Any]:
    """Copy a table twice; returns the figures of the JSON."""
    table = older_table(rows)
    migrate(settings)
    database = Database(settings, name="reactions-bench")
    with connect(settings) as client:
        at = (client, database, settings)
        first, again = (copy(at, table, phase, show) for phase in ("first", "again"))
    with database.transaction() as connection:
        found, posts = connection.execute(
            text("SELECT count(*), count(DISTINCT post_id) FROM reactions")
        ).one()
    database.close()
    return {
        "rows": found,
        "missing": table.count("\n") - 1 - found,
        "posts": posts,
        "seconds": round(first, 2),
        "rows_per_s": round(found / first),
        "again_rows_per_s": round(found / again),
    }


@click.command(context_settings=output.HELP)
@click.option("--rows", type=click.IntRange(1, 10_000_000), default=200_000, show_default=True)
@output.as_json
def main(rows: int, as_json: bool) -> None:
    """Time the backfill of an older table."""
    output.quiet_logs()
    with (
        servers.temporary_folder("backfill") as where,
        servers.running_redis(where, "valkey") as valkey,
        servers.running_postgres(where) as postgres,
        bars() as show,
    ):
        settings = servers.settings_with(redis_url=valkey.url, database_url=postgres.url)
        figures = machine.summary() | run(settings, rows, show)
    print_report(figures, None)
    output.finish(figures, as_json)
