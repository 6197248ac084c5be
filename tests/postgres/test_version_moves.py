"""Versions that are in the future move to now, on every supported PostgreSQL."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from reactions.core.model import Row
from reactions.core.shard_times import ShardTimes
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.erasure import Erasures
from reactions.postgres.ledger import Ledger
from reactions.postgres.version_moves import Moved, VersionMoves

pytestmark = pytest.mark.slow

NOW = 1_700_000_000_000_000
HOUR = 3_600_000_000
AHEAD, FELLOW, OTHER = 1042, 142, 7
"""Two posts of a shard that is ahead, and one of another shard."""


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def moves(database: Database) -> VersionMoves:
    """The versions of shard 42 are an hour ahead, except that of user 9; user 3 removed one."""
    Ledger(database).record(
        [
            Row(AHEAD, 9, 1, NOW - 5),
            Row(AHEAD, 1, 1, NOW + HOUR + 30),
            Row(FELLOW, 1, 2, NOW + HOUR + 10),
            Row(FELLOW, 2, 1, NOW + HOUR + 20),  # at the same time as another
            Row(AHEAD, 2, 3, NOW + HOUR + 20),
            Row(AHEAD, 3, 0, NOW + HOUR + 40),
            Row(OTHER, 1, 1, NOW + HOUR),
        ]
    )
    return VersionMoves(database, [42])


def versions(database: Database) -> dict[tuple[int, int], int]:
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT post_id, user_id, version FROM reactions"))
        return {(post, user): version - NOW for post, user, version in found}


@pytest.mark.parametrize("page", [1, 2, 100])
def test_rows_move_page_by_page_in_their_order(
    database: Database, moves: VersionMoves, page: int
) -> None:
    moved = Moved(-1, NOW, NOW)
    sizes: list[int] = []
    while moved.rows:
        moved = moves.move_rows(moved.seen, moved.given, page)
        sizes.append(moved.rows)
    assert sizes == {1: [1, 2, 1, 1, 0], 2: [3, 2, 0], 100: [5, 0]}[page]
    expected = {(FELLOW, 1): 1, (FELLOW, 2): 2, (AHEAD, 2): 3, (AHEAD, 1): 4, (AHEAD, 3): 5}
    assert versions(database) == {**expected, (AHEAD, 9): -5, (OTHER, 1): HOUR}
    assert moved.given == NOW + 5


def test_posts_are_noted_as_touched_now(database: Database, moves: VersionMoves) -> None:
    with database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET checked = touched + 1, tier_since = 5"))
    sizes: list[int] = []
    while not sizes or sizes[-1]:
        sizes.append(moves.lower_posts(NOW + 5, 1))
    assert sizes == [1, 1, 0]
    with database.engine.connect() as connection:
        found = connection.execute(text("SELECT post_id, touched, checked, tier_since FROM posts"))
        assert {post: tuple(times) for post, *times in found} == {
            AHEAD: (NOW + 5, NOW + 5, 5),
            FELLOW: (NOW + 5, NOW + 5, 5),
            OTHER: (NOW + HOUR, NOW + HOUR + 1, 5),
        }


def test_bounds_of_forgotten_users_come_down(database: Database, moves: VersionMoves) -> None:
    erasures, ledger = Erasures(database), Ledger(database)
    erasures.mark_forgotten(1, ShardTimes(NOW - 5, {7: NOW + HOUR, 42: NOW + HOUR}))
    erasures.mark_forgotten(2, ShardTimes(NOW + HOUR))  # every shard was ahead
    erasures.mark_forgotten(3, ShardTimes(NOW - 5))
    moves.lower_forgotten(NOW)
    assert ledger.forgotten([1, 2, 3]) == {
        1: ShardTimes(NOW - 5, {7: NOW + HOUR}),
        2: ShardTimes(NOW),
        3: ShardTimes(NOW - 5),
    }


def test_dead_letters_of_these_shards_move(database: Database, moves: VersionMoves) -> None:
    letters = DeadLetters(database)
    values = {
        (AHEAD, 1): NOW + HOUR + 29,  # the row is newer
        (AHEAD, 2): NOW + HOUR + 21,
        (AHEAD, 5): NOW + HOUR + 11,
        (AHEAD, 6): NOW - 1,
        (OTHER, 1): NOW + HOUR,
    }
    for (post, user), version in values.items():
        letters.add(str(post), str(user), f"2:{version}", "refused")
    for name, value in (("9" * 19, f"2:{NOW + 5}"), ("x", "y"), ("42", "2:")):
        letters.add(name, "1", value, "foreign")
    before = {letter.id: letter.value for letter in letters.list(10)}
    moves.move_older_letters(NOW)
    assert moves.move_newest_letters(NOW, NOW + 5) == 2
    after = {letter.id: letter.value for letter in letters.list(10)}
    first, second, third, *others = before
    assert after == {
        first: f"2:{NOW - first}",
        second: f"2:{NOW + 7}",
        third: f"2:{NOW + 6}",
        **{number: before[number] for number in others},
    }


def test_workers_are_counted_by_the_name_of_their_connections(
    database: Database, moves: VersionMoves
) -> None:
    assert moves.workers() == 0
    with database.engine.connect() as connection:
        connection.execute(text("SET application_name = 'reactions-worker'"))
        assert moves.workers() == 1


def test_a_page_finds_its_rows_by_index(database: Database, moves: VersionMoves) -> None:
    """However many rows the posts have that are not in the future."""
    fill = "INSERT INTO reactions SELECT 1042, 100 + i, 1, i FROM generate_series(1, 20000) AS i"
    with database.engine.begin() as connection:
        connection.execute(text(fill))
        connection.execute(text("ANALYZE reactions"))
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    read = text(
        "SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname LIKE 'reactions_%'"
    )
    with database.engine.connect() as connection:
        before = connection.scalar(read)
    assert moves.move_rows(NOW, NOW, 100).rows == 5
    with database.engine.begin() as connection:
        connection.execute(text("SELECT pg_stat_force_next_flush()"))
    with database.engine.connect() as connection:
        assert connection.scalar(read) == before
