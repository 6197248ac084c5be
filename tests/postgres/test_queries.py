"""The queries on many rows: they use an index, and read few rows beyond those they return."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, text

from benchmarks.support.statements import statements
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from tests.support.databases import own_database

MANY, LARGE, BUSY = 200_000, 1_042, 7
"""Number of rows; the post that has half of them; the user who has 5,000."""


@pytest.fixture(scope="module")
def many(postgres: Postgres) -> Iterator[Database]:
    """200,000 rows: half of one post, some of one user, and the rest of 5,000 posts."""
    with own_database(postgres.url) as url:
        database = _filled(url)
        yield database
        database.close()


def _filled(url: str) -> Database:
    database = Database(Settings(database_url=url, database_timeout_s=60))
    with database.engine.begin() as connection:
        for statement in (
            "INSERT INTO reactions SELECT :large, n, 1000000 + n, n % 7 "
            "FROM generate_series(1000, 1000 + :half) AS n",
            "INSERT INTO reactions SELECT 20000 + n, :busy, 1000000 + n / 3, 1 + n % 6 "
            "FROM generate_series(1, 5000) AS n",
            "INSERT INTO reactions SELECT 20000 + n % 5000, 100 + n, 1000000 + n, n % 7 "
            "FROM generate_series(1, :half - 5000) AS n",
            "INSERT INTO reaction_counts SELECT post_id, reaction, count(*) "
            "FROM reactions GROUP BY 1, 2",
            "INSERT INTO deleted_posts SELECT 20000 + n FROM generate_series(1, 5000, 5) AS n",
        ):
            connection.execute(text(statement), {"large": LARGE, "busy": BUSY, "half": MANY // 2})
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    return database


Plan = dict[str, Any]


def explain(database: Database, query: Callable[[Queries], object]) -> list[Plan]:
    """Return the nodes of the executed plans of all statements that a query sends."""
    with statements(database.engine) as sent:
        query(Queries(database))
    nodes: list[Plan] = []
    with database.engine.connect() as connection:
        for statement, values in sent:
            inner, given = _inside(connection, statement, values)
            found = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {inner}", given
            ).scalar_one()
            (plan,) = json.loads(found) if isinstance(found, str) else found
            nodes += _nodes(plan["Plan"])
    assert nodes
    return nodes


def _inside(connection: Connection, statement: str, values: Any) -> tuple[str, Any]:
    """Return the query of a function as the function runs it: with one plan for all values."""
    called = re.search(r"FROM (newest_of_user|own_reactions)\(", statement)
    if called is None:
        return statement, values
    body, names, types = connection.execute(
        text(
            "SELECT prosrc, trim_array(proargnames, cardinality(proargnames) - pronargs),"
            " oidvectortypes(proargtypes) FROM pg_proc WHERE proname = :name"
        ),
        {"name": called[1]},
    ).one()
    query = re.search(r"RETURN QUERY\n(.*);\nEND", body, re.DOTALL)
    assert query is not None
    prepared = query[1]
    for number, name in enumerate(names, start=1):
        prepared = re.sub(rf"(?<!\w){name}\b", f"${number}", prepared)
    connection.exec_driver_sql("DEALLOCATE ALL")
    connection.exec_driver_sql("SET LOCAL plan_cache_mode = force_generic_plan")
    connection.exec_driver_sql(f"PREPARE inner_query ({types}) AS {prepared}")
    arguments = [values[name.removeprefix("_")] for name in names]
    return f"EXECUTE inner_query ({', '.join(['%s'] * len(arguments))})", tuple(arguments)


def _nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def rows_read(nodes: Sequence[Plan], table: str) -> int:
    """Count the rows that scans of a table and its partitions returned or filtered out."""
    return sum(
        round((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"])
        for node in nodes
        if node.get("Relation Name", "").startswith(table)
    )


def kinds(nodes: Sequence[Plan]) -> set[str]:
    return {str(node["Node Type"]) for node in nodes}


INDEX_SCANS = {"Index Scan", "Index Only Scan", "Bitmap Index Scan"}

QUERIES: dict[str, Callable[[Queries], object]] = {
    "newest": lambda q: q.newest(LARGE, range(1, 7), limit=51),
    "newest of a type": lambda q: q.newest(LARGE, [3], limit=51),
    "newest, far down": lambda q: q.newest(LARGE, range(1, 7), limit=51, before=1_020_000),
    "newest of a small post": lambda q: q.newest(20_100, range(1, 7), limit=51),
    "newest of none": lambda q: q.newest(5, range(1, 7), limit=51),
    "history": lambda q: q.history(BUSY, range(1, 7), limit=51),
    "history, far down": lambda q: q.history(
        BUSY, range(1, 7), limit=51, before=(1_000_500, 20_700)
    ),
    "history for an erasure": lambda q: q.history(BUSY, limit=500, before=(1_001_001, 0)),
    "history of a guest": lambda q: q.history(150, range(1, 7), limit=51),
    "own": lambda q: q.summaries([], BUSY, range(20_001, 20_201)),
    "all of a guest": lambda q: q.summaries([], 150, [20_001], max_others=400),
    "own on a large post": lambda q: q.summaries([], 50_000, [LARGE]),
    "counts": lambda q: q.summaries(range(20_001, 20_201), 0, []),
    "counts of one": lambda q: q.counts([LARGE]),
    "ever, counted": lambda q: q.count_ever(LARGE),
    "ever": lambda q: q.ever(20_100, 1_000),
}


@pytest.mark.parametrize("name", QUERIES)
def test_no_read_scans_a_table(many: Database, name: str) -> None:
    nodes = explain(many, QUERIES[name])
    assert "Seq Scan" not in kinds(nodes)
    assert kinds(nodes) & INDEX_SCANS


@pytest.mark.parametrize("name", ["newest", "newest of a type", "newest, far down"])
def test_the_newest_reads_by_index_only_the_rows_it_returns(many: Database, name: str) -> None:
    nodes = explain(many, QUERIES[name])
    assert "Sort" not in kinds(nodes)
    assert "Limit" in kinds(nodes)
    if name != "newest of a type":
        assert "Merge Append" in kinds(nodes)
    assert 51 <= rows_read(nodes, "reactions") <= 51 + 6
    assert nodes[0]["Shared Hit Blocks"] + nodes[0]["Shared Read Blocks"] < 200


def test_a_page_of_history_reads_little_more_than_it_returns(many: Database) -> None:
    """Merges one index scan for each partition; some versions are equal, a fifth is deleted."""
    nodes = explain(many, QUERIES["history"])
    assert kinds(nodes) & {"Merge Append"}
    assert 51 <= rows_read(nodes, "reactions") <= 200


@pytest.mark.parametrize(("name", "most"), [("own", 200), ("own on a large post", 1)])
def test_own_reactions_are_found_by_the_primary_key(many: Database, name: str, most: int) -> None:
    nodes = explain(many, QUERIES[name])
    assert 0 < rows_read(nodes, "reactions") <= most
    executed = [
        node
        for node in nodes
        if node.get("Index Name", "").startswith("reactions") and node["Actual Loops"]
    ]
    assert sum(node["Actual Loops"] for node in executed) <= most


def test_counts_read_no_rows_of_reactions(many: Database) -> None:
    nodes = explain(many, QUERIES["counts"])
    assert rows_read(nodes, "reactions_") == 0
    assert 0 < rows_read(nodes, "reaction_counts") <= 200 * 7


def test_the_queries_return_the_right_rows_of_many(many: Database) -> None:
    queries = Queries(many)
    newest = queries.newest(LARGE, range(1, 7), limit=20)
    top = 1000 + MANY // 2
    expected = [user for user in range(top, top - 40, -1) if user % 7][:20]
    assert [row.user_id for row in newest] == expected
    assert [row.user_id for row in queries.newest(LARGE, [2], limit=3)] == [
        user for user in range(top, top - 40, -1) if user % 7 == 2
    ][:3]
    history = queries.history(BUSY, limit=5_000)
    assert len(history) == 4_000
    assert history == sorted(history, key=lambda row: (-row.version, -row.post_id))
    assert queries.count_ever(LARGE) == MANY // 2 + 1


@pytest.mark.parametrize("max_others", [0, 1, 50])
def test_a_user_with_more_reactions_than_are_read(many: Database, max_others: int) -> None:
    queries = Queries(many)
    rows = queries.history(BUSY, limit=10_000)
    old, known = rows[-1], {row.post_id: row.reaction for row in rows}
    none = LARGE + 10_000_000
    _, own, whole = queries.summaries([], BUSY, [old.post_id, none], max_others=max_others)
    assert not whole
    assert (own.pop(old.post_id), own.pop(none)) == (old.reaction, 0)
    assert len(own) >= max_others
    assert all(known.get(post, code) == code for post, code in own.items())
    _, own, whole = queries.summaries([], 1 << 50, [old.post_id], max_others=max_others)
    assert (own, whole) == ({old.post_id: 0}, max_others > 0)
