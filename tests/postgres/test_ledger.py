"""The ledger on every supported PostgreSQL: the newest version wins, counts move with the rows."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st
from sqlalchemy import text

from reactions.core.model import Row
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger, RowsRefused
from reactions.postgres.queries import Queries
from reactions.postgres.stored import read_stored
from tests.support.profiles import examples

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)


@pytest.fixture
def queries(database: Database) -> Queries:
    return Queries(database)


class Model:
    """The expected tables: the newest version of each (post, user), and the counts."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, int], tuple[int, int]] = {}

    def record(self, batch: list[Row]) -> int:
        changed = 0
        for row in batch:
            key = row.post_id, row.user_id
            if self.rows.get(key, (-1, 0))[0] < row.version:
                self.rows[key] = row.version, row.reaction
                changed += 1
        return changed

    def counts(self, post_id: int) -> dict[int, int]:
        found: dict[int, int] = {}
        for (post, _), (_, code) in self.rows.items():
            if post == post_id and code:
                found[code] = found.get(code, 0) + 1
        return found


rows = st.builds(
    Row,
    post_id=st.integers(1, 3),
    user_id=st.integers(1, 4),
    reaction=st.integers(0, 3),
    version=st.integers(1, 20),
)
batches = st.lists(rows, min_size=1, max_size=12, unique_by=lambda row: (row.post_id, row.user_id))


@hypothesis(
    max_examples=examples(40),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(batches, max_size=6))
def test_any_batches_in_any_order_agree_with_the_model(
    ledger: Ledger, database: Database, queries: Queries, batches: list[list[Row]]
) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("TRUNCATE reactions, reaction_counts"))
    model = Model()
    for batch in batches:
        recorded = ledger.record(batch)
        assert recorded.changed == model.record(batch)
        for post_id, counts in recorded.counts.items():
            assert {k: v for k, v in counts.items() if v} == model.counts(post_id)
    for post_id, stored in read_stored(database, [1, 2, 3], 100).items():
        assert {k: v for k, v in stored.counts.items() if k and v} == model.counts(post_id)
        assert stored.tally == {code: n for code, n in stored.counts.items() if n}
        assert queries.count_ever(post_id) == sum(post == post_id for post, _ in model.rows)


def test_counts_stay_exact_when_batches_of_one_shard_race(
    ledger: Ledger, database: Database
) -> None:
    """Eight threads record new versions and repeats of the same rows."""
    batches = [
        [Row(1042, user, 1 + (version + user) % 3, version) for user in range(1, 30)]
        for version in range(1, 25)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.record, batches + batches[::-1]))
    stored = read_stored(database, [1042], 100)[1042]
    assert stored.counts == stored.tally
    assert stored.rows == {user: 1 + (24 + user) % 3 for user in range(1, 30)}


def test_batches_over_the_same_shards_in_any_order_never_deadlock(
    ledger: Ledger, queries: Queries
) -> None:
    posts = list(range(1, 41))
    batches = [
        [Row(post, user, 1, version) for post in (posts if version % 2 else posts[::-1])]
        for version, user in enumerate([1, 2, 3, 1, 2, 3] * 6, start=1)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.record, batches))
    assert queries.counts(posts) == {post: {1: 3} for post in posts}


def test_a_refused_row_takes_its_batch_with_it(ledger: Ledger, queries: Queries) -> None:
    with pytest.raises(RowsRefused, match="fk_reaction_counts_reaction"):
        ledger.record([Row(1, 1, 1, 1), Row(1, 2, 99, 1)])
    assert queries.reactions([1]) == {1: {}}


def test_a_batch_finds_its_rows_by_index(database: Database) -> None:
    """A batch reads no whole table, however many partitions there are."""
    with database.engine.begin() as connection:
        fill = text(
            "INSERT INTO reactions SELECT 1 + i / 100, 1 + i % 100, 1, 1 "
            "FROM generate_series(:first, :first + 19999) AS i"
        )
        for first in range(0, 200_000, 20_000):  # each within the statement timeout
            connection.execute(fill, {"first": first})
        connection.execute(text("ANALYZE reactions"))
        ids = "{" + ",".join(str(i) for i in range(1, 1001)) + "}"
        codes = "{" + ",".join("1" * 1000) + "}"
        body = connection.scalar(
            text("SELECT prosrc FROM pg_proc WHERE proname = 'record_reactions'")
        )
        statement = re.search(r"RETURN QUERY\n(.*);\nEND", str(body), re.DOTALL)
        assert statement is not None
        # As the function runs it: a plan for any values, under the settings of the function.
        arrays = ("_posts", "_users", "_codes", "_versions", "_touched")
        prepared = statement[1]
        for number, name in enumerate((*arrays, "_every"), start=1):
            prepared = re.sub(rf"(?<!\w){name}\b", f"${number}", prepared)
        connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        connection.execute(text("SET LOCAL random_page_cost = 1.1"))
        types = "bigint[], bigint[], smallint[], bigint[], bigint[], bigint"
        connection.exec_driver_sql(f"PREPARE record ({types}) AS {prepared}")
        values = f"'{ids}', '{ids}', '{codes}', '{ids}', '{ids}', 1"
        lines = list(connection.exec_driver_sql(f"EXPLAIN EXECUTE record ({values})").scalars())
    assert not [line for line in lines if "Seq Scan on reactions" in line], lines
