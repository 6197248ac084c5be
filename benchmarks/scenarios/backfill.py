"""Rows a second of ``reactions backfill``: an older table comes into an empty system, then again.

python -m benchmarks backfill --json

One process, on servers of its own without workers or writers. Reading the CSV is part of it.
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
"""On average: by Zipf's law, 2,000 on the largest."""

START_US, GAP_US = 1_700_000_000_000_000, 1_000_000
"""The newest reaction of each post, and what is between two."""


def older_table(rows: int) -> str:
    """About so many likes, as the CSV that deploy/backfill.sql writes."""
    lines = [HEADER]
    for post, size in sizes(max(1, rows // ROWS_A_POST), rows).items():
        for number in range(size):
            user = spread_id(1 + post * 7_919 + number, 31)
            lines.append(f"{post},{user},like,{START_US - number * GAP_US}")
    return "\n".join(lines) + "\n"


def take_over(at: tuple[Client, Database, Settings], table: str, phase: str, show: Show) -> float:
    """Seconds that it took."""
    rows = table.count("\n") - 1
    began = time.perf_counter()
    Backfill(*at).run(
        io.StringIO(table), time.time_ns() // 1_000, lambda done: show(phase, done, rows)
    )
    return time.perf_counter() - began


def run(settings: Settings, rows: int, show: Show) -> dict[str, Any]:
    """Take a table over twice; the figures are those of the JSON."""
    table = older_table(rows)
    migrate(settings)
    database = Database(settings, name="reactions-bench")
    with connect(settings) as client:
        at = (client, database, settings)
        first, again = (take_over(at, table, phase, show) for phase in ("first", "again"))
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
    """Time the backfill of an older table, on servers of its own."""
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
