"""The number of partitions changes while drains write, on every supported PostgreSQL."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import text

from reactions.core.errors import ReactionsUnavailable
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres import repartition
from reactions.postgres.database import Database
from reactions.postgres.erasure import Erasures
from reactions.postgres.ledger import Ledger
from reactions.postgres.locks import LOCK, LOCK_CLASS
from reactions.postgres.migrate import PartitionsMoving, migrate
from reactions.postgres.partitions import names_of
from reactions.postgres.repartition import Numbers, Repartition
from reactions.postgres.row_counts import RowCounts
from reactions.postgres.tables import metadata
from tests.postgres.test_tables import _ours
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

POSTS = range(1, 61)
ERASED = range(1001, 1061)
"""Posts of the same shards, which a writer deletes from time to time."""

INDEXES = text("""
SELECT indexrelid::regclass::text, indisvalid, count(inhrelid) FROM pg_index
LEFT JOIN pg_inherits ON inhparent = indexrelid
WHERE indrelid = 'reactions'::regclass GROUP BY 1, 2 ORDER BY 1
""")
OBJECTS = text("SELECT relname FROM pg_class WHERE relnamespace = 'reactions'::regnamespace")
WAITING = text("""
SELECT count(*) FROM pg_stat_activity
WHERE application_name = 'reactions-migrate' AND wait_event_type = 'Lock'
  AND datname = current_database()
""")
TERMINATE = text("""
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
WHERE datname = current_database() AND application_name = 'reactions-migrate'
""")


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """A database of its own: the test changes its tables."""
    return own_database_url


@pytest.fixture
def work(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Repartition:
    monkeypatch.setattr(repartition, "PAGE_ROWS", 100)
    monkeypatch.setattr(repartition, "PAUSE_S", 0.01)
    return Repartition(Settings(database_url=database_url))


class Writer:
    """Writes, removes and erases rows in a thread, and knows what the table must have."""

    def __init__(self, database: Database, user: int) -> None:
        self._ledger, self._erasures = Ledger(database), Erasures(database)
        self._random, self._users = random.Random(user), range(user, user + 20)  # noqa: S311
        self._version = 0
        self.rows: dict[tuple[int, int], tuple[int, int]] = {}
        self.batches = 0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def write(self) -> None:
        posts = self._random.sample([*POSTS, *ERASED], 20)
        self._version += 1
        rows = [
            Row(post, self._random.choice(self._users), self._random.randrange(4), self._version)
            for post in posts
        ]
        self._ledger.record(rows)
        self.rows |= {(r.post_id, r.user_id): (r.version, r.reaction) for r in rows}
        self.batches += 1

    def _erase(self) -> None:
        """Delete all rows of a post."""
        erased = self._random.choice(ERASED)
        self._erasures.erase_post(erased, 1_000)
        self.rows = {key: row for key, row in self.rows.items() if key[0] != erased}

    def _run(self) -> None:
        while not self._stopped.is_set():
            self.write()
            self._erase()

    def start(self) -> None:
        for _ in range(20):
            self.write()
        self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """With time for a machine that stalls: the locks are held for long here."""
    database = Database(Settings(database_url=database_url, database_timeout_s=60))
    yield database
    database.close()


@pytest.fixture
def writer(database: Database) -> Iterator[Writer]:
    writing = Writer(database, 1)
    writing.start()
    yield writing
    writing.stop()


def stored(database: Database) -> dict[tuple[int, int], tuple[int, int]]:
    with database.transaction() as connection:
        found = connection.execute(
            text("SELECT post_id, user_id, version, reaction FROM reactions")
        )
        return {(post, user): (version, code) for post, user, version, code in found}


def finish(work: Repartition, number: int, disturb: Callable[[], None]) -> list[str]:
    """Change the number, and end each run after one step; return the names of the steps."""
    names: list[str] = []
    while True:
        with suppress(ReactionsUnavailable):
            step = next(work.steps(number), None)
            if step is None:
                return names
            names.append(step.name)
            disturb()


def test_nothing_is_lost_when_every_step_is_killed(
    work: Repartition, writer: Writer, database: Database
) -> None:
    with database.engine.connect() as connection:
        before = [(name, valid) for name, valid, _ in connection.execute(INDEXES)]

    def wait_for_a_batch() -> None:
        seen = writer.batches
        wait_until(lambda: writer.batches > seen)

    names = finish(work, 3, wait_for_a_batch)
    assert list(dict.fromkeys(names)) == ["prepared", "copied", "indexed", "swapped", "dropped"]
    wait_for_a_batch()
    writer.stop()
    assert stored(database) == writer.rows
    assert RowCounts(database).suspects([*POSTS, *ERASED], 1000) == []
    with database.engine.connect() as connection:
        assert [(n, v) for n, v, parts in connection.execute(INDEXES) if parts == 3] == before
        left = [name for name in connection.scalars(OBJECTS) if "next" in name or "old" in name]
        assert left == []
        options = {"include_object": _ours, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    assert work.numbers() == Numbers(3, None)


def test_nothing_is_lost_when_its_connections_are_cut(
    work: Repartition, writer: Writer, database: Database
) -> None:
    """In the middle of a step: each transaction does all of it, or nothing."""
    ended = threading.Event()

    def cut() -> None:
        while not ended.wait(0.05):
            with database.transaction() as connection:
                connection.execute(TERMINATE)

    cutter = threading.Thread(target=cut)
    cutter.start()
    tries = 0
    try:
        while work_to_do(work):
            tries += 1
            if tries == 50:
                ended.set()  # a slow machine needs longer for a step than a connection lasts
            with suppress(ReactionsUnavailable):
                list(work.steps(5))
    finally:
        ended.set()
        cutter.join()
    writer.stop()
    assert stored(database) == writer.rows
    assert work.numbers() == Numbers(5, None)


def work_to_do(work: Repartition) -> bool:
    with suppress(ReactionsUnavailable):
        return work.numbers() != Numbers(5, None)
    return True


def test_a_page_waits_for_those_who_write_its_shards(work: Repartition, database: Database) -> None:
    """Else it would copy a row that it read before somebody deleted it."""
    Ledger(database).record([Row(42, 1, 1, 1), Row(142, 1, 1, 1)])
    steps = work.steps(2)
    assert next(steps).name == "prepared"
    copier = threading.Thread(target=next, args=(steps,))
    with database.transaction() as connection:
        connection.execute(LOCK, {"class": LOCK_CLASS, "shards": "{42}"})
        connection.execute(text("UPDATE reactions SET version = 2 WHERE post_id = 42"))
        connection.execute(text("DELETE FROM reactions WHERE post_id = 142"))
        copier.start()
        wait_until(lambda: database.execute_at_once(WAITING)[0][0], what="the copy waits")
    copier.join()
    assert [step.name for step in steps][-1] == "dropped"
    assert stored(database) == {(42, 1): (2, 1)}


def test_a_change_can_be_given_up(work: Repartition, writer: Writer, database: Database) -> None:
    """By the present number, or by another one, which then begins from nothing."""
    steps = work.steps(4)
    assert [next(steps).name for _ in range(2)] == ["prepared", "copied"]
    assert work.numbers() == Numbers(16, 4)
    assert [next(work.steps(2)).name] == ["given up"]
    assert [step.name for step in work.steps(16)] == []
    assert work.numbers() == Numbers(16, None)
    writer.stop()
    assert stored(database) == writer.rows


def test_rights_and_options_stay(work: Repartition, database: Database) -> None:
    wanted = text(
        "SELECT relname, relacl::text, reloptions FROM pg_class WHERE relname = 'reactions'"
        " OR oid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'reactions'::regclass)"
        " ORDER BY relname"
    )
    with database.engine.begin() as connection:
        connection.execute(
            text("GRANT SELECT, INSERT ON reactions TO pg_monitor WITH GRANT OPTION")
        )
        connection.execute(text("ALTER TABLE reactions_00 SET (fillfactor = 90)"))
        before = connection.execute(wanted).all()
    list(work.steps(1))
    with database.engine.begin() as connection:
        after = connection.execute(wanted).all()
    options = ["autovacuum_vacuum_scale_factor=0.05", "fillfactor=90"]
    assert after == [before[0], ("reactions_of1_00", None, options)]


def test_it_waits_for_those_who_read(
    work: Repartition, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It holds the locks of shards for half a second at most, and then lets drains pass."""
    Ledger(database).record([Row(1, 1, 1, 1)])
    steps = work.steps(2)
    while next(steps).name != "indexed":
        pass
    monkeypatch.setattr(repartition, "TRIES", 1)
    with database.engine.begin() as connection:
        connection.execute(text("SELECT FROM reactions"))
        with pytest.raises(ReactionsUnavailable, match="lock timeout"):
            list(work.steps(2))
    assert list(work.steps(2))[-1].name == "dropped"


def test_migrations_wait_for_its_end(
    work: Repartition, database_url: str, database: Database
) -> None:
    settings = Settings(database_url=database_url)
    next(work.steps(2))
    migrate(settings)  # nothing to do
    with pytest.raises(PartitionsMoving, match="first run: reactions partitions 2"):
        migrate(settings, "0011")
    list(work.steps(2))
    migrate(settings, "0004")
    migrate(settings)
    with database.transaction() as connection:
        assert names_of(connection) == ["reactions_of2_00", "reactions_of2_01"]
