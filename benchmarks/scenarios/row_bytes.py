"""``python -m benchmarks bytes``: how much disk a reaction takes, and what makes it less.

Fills the real tables in the order in which people react, so that the indexes grow as they do in
use. Then it changes some of the reactions, with few and with many vacuums, and rebuilds what grew.
"""

from __future__ import annotations

from typing import Any

import click
from sqlalchemy import Executable, text

from benchmarks.support import machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.statistics import timed
from reactions.cli.console import bars
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.postgres.repartition import Repartition

SINCE_US = 1_700_000_000_000_000

FILL = text("""
INSERT INTO reactions (post_id, user_id, version, reaction)
SELECT 1 + floor(power(random(), 3) * :rows / 20), 1 + floor(random() * :rows / 20),
    :since + 1000 * number, CASE WHEN random() < 0.04 THEN 0 ELSE 1 + floor(random() * 6) END
FROM generate_series(CAST(:first AS int), :last) AS number
ON CONFLICT DO NOTHING
""")
CHANGE = text("""
UPDATE reactions SET version = version + 1000000000, reaction = 1 + reaction % 6
WHERE (post_id * 31 + user_id) % 100 >= :least AND (post_id * 31 + user_id) % 100 < :most
""")
SIZES = text("""
SELECT 'table' AS part, sum(pg_table_size(relid)) FROM pg_partition_tree('reactions') WHERE isleaf
UNION ALL
SELECT whole.relname, sum(pg_relation_size(part.inhrelid))
FROM pg_index JOIN pg_class AS whole ON whole.oid = indexrelid
JOIN pg_inherits AS part ON inhparent = indexrelid
WHERE indrelid = 'reactions'::regclass GROUP BY whole.relname ORDER BY 1
""")
PACKED = """
CREATE TABLE packed (post_id bigint, user_id bigint, packed bigint);
INSERT INTO packed SELECT post_id, user_id, version * 128 + reaction FROM reactions
ORDER BY post_id, user_id
"""
WITHOUT_TYPE = """
CREATE INDEX without_type ON {partition} (post_id, version DESC) WHERE reaction <> 0
"""

VACUUMS = (20, 5, 2)
"""After how many percent of the rows."""

CHANGED_ROWS = 200_000
"""Rows for the comparison of vacuums."""

PAGE = 100_000
"""Rows of a statement."""

CHANGED = 40
"""Percent of the rows that change."""


class Table:
    """The tables of a server, with statements that may take long."""

    def __init__(self, url: str) -> None:
        self.settings = Settings(database_url=url, database_timeout_s=300)
        migrate(self.settings)
        self.database = Database(self.settings)
        self.rows = 0
        for statement in ("ALTER SYSTEM SET autovacuum = off", "SELECT pg_reload_conf()"):
            self.alone(statement)

    def execute(self, statement: Executable, **values: int) -> Any:  # noqa: ANN401 - any rows
        with self.database.transaction() as connection:
            done = connection.execute(statement, values)
            return done.all() if done.returns_rows else None

    def alone(self, statement: str) -> None:
        self.database.read(lambda connection: connection.execute(text(statement)))

    def fill(self, rows: int) -> None:
        self.execute(text("TRUNCATE reactions"))
        for first in range(1, rows + 1, PAGE):
            last = min(rows, first + PAGE - 1)
            self.execute(FILL, rows=rows, since=SINCE_US, first=first, last=last)
        self.alone("VACUUM ANALYZE reactions.reactions")
        ((self.rows,),) = self.execute(text("SELECT count(*) FROM reactions"))

    def change(self, every: int) -> float:
        """Change CHANGED percent of the rows, with a vacuum after each so many; ms of vacuums."""
        took = 0.0
        for least in range(0, CHANGED, every):
            self.execute(CHANGE, least=least, most=least + every)
            took += timed(lambda: self.alone("VACUUM reactions.reactions"))[0]
        return took

    def bytes(self) -> dict[str, float]:
        """Bytes a row: part -> bytes, and their sum."""
        found = {part: round(int(size) / self.rows, 1) for part, size in self.execute(SIZES)}
        return found | {"sum": round(sum(found.values()), 1)}


def run(rows: int, show: Show) -> dict[str, Any]:
    """Fill, change and rebuild; returns the figures of the JSON."""
    with (
        servers.temporary_folder("bytes") as where,
        servers.running_postgres(where) as server,
    ):
        table = Table(server.url)
        vacuums = _vacuums(table, min(rows, CHANGED_ROWS), show)
        states: dict[str, dict[str, float]] = {}
        show("fill", 0, 4)
        table.fill(rows)
        states["as written"] = table.bytes()
        show("change", 1, 4)
        table.change(20)
        states[f"{CHANGED} % changed, vacuum after each 20 %"] = table.bytes()
        show("rebuild indexes", 2, 4)
        table.alone("REINDEX TABLE CONCURRENTLY reactions.reactions")
        states["then REINDEX"] = table.bytes()
        show("rebuild everything", 3, 4)
        copied, _ = timed(lambda: list(Repartition(table.settings).steps(8)))
        states["then `reactions partitions 8`"] = table.bytes()
        found = {
            "rows": table.rows,
            "states": states,
            "vacuums": vacuums,
            "partitions_s": round(copied / 1e3, 1),
            **_others(table),
        }
        table.database.close()
    return found


def _vacuums(table: Table, rows: int, show: Show) -> dict[str, dict[str, float]]:
    """How often a vacuum -> bytes a row at the end, and s of all vacuums."""
    found = {}
    for number, every in enumerate(VACUUMS):
        show("vacuums", number, len(VACUUMS))
        table.fill(rows)
        before = table.bytes()["sum"]
        took = table.change(every)
        sizes = {"before": before, "after": table.bytes()["sum"]}
        found[f"after each {every} %"] = {**sizes, "s": round(took / 1e3, 1)}
    return found


def _others(table: Table) -> dict[str, Any]:
    """Bytes a row of what was considered, and not done."""
    table.execute(text(PACKED))
    ((packed, plain, index),) = table.execute(
        text("""
        SELECT pg_relation_size('packed'), (
            SELECT sum(pg_relation_size(relid)) FROM pg_partition_tree('reactions') WHERE isleaf
        ), (SELECT max(inhrelid::regclass::text) FROM pg_inherits
            WHERE inhparent = 'reactions'::regclass)
        """)
    )
    table.execute(text(WITHOUT_TYPE.format(partition=index)))
    ((smaller, rows),) = table.execute(
        text(
            "SELECT pg_relation_size('without_type'), (SELECT count(*) FROM "  # noqa: S608
            f"{index} WHERE reaction <> 0)"
        )
    )
    return {
        "rows_in_one_bigint_less": round((int(plain) - packed) / table.rows, 1),
        "index_of_a_post_without_type": round(smaller / rows, 1),
    }


@click.command(context_settings=output.HELP)
@click.option("--rows", type=click.IntRange(1_000, 10**9), default=2_000_000, show_default=True)
@output.as_markdown
@output.as_json
def main(rows: int, as_markdown: bool, as_json: bool) -> None:
    """Measure the bytes of a reaction on disk, with its indexes."""
    output.quiet_logs()
    with bars(36) as show:
        found = run(rows, show)
    parts = list(found["states"]["as written"])
    output.print_table(
        f"Bytes a row, of {found['rows']:,} rows",
        ["state", *parts],
        [[state, *(sizes[part] for part in parts)] for state, sizes in found["states"].items()],
        as_markdown,
    )
    output.print_table(
        f"Bytes a row after {CHANGED} % of {min(rows, CHANGED_ROWS):,} rows changed",
        ["vacuum", "before", "after", "vacuums in s"],
        [[name, *each.values()] for name, each in found["vacuums"].items()],
        as_markdown,
    )
    output.finish({"machine": machine.summary(), **found}, as_json)
