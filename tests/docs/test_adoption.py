"""Follows docs/adoption.md with its own SQL and Python, while writers write."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from sqlalchemy import make_url, text

from reactions.api import default
from reactions.core.settings import Settings
from tests.docs.fenced import blocks
from tests.support.engine import Engine, make_engine
from tests.support.servers import wheel_postgres

pytestmark = pytest.mark.slow

POSTS, USERS, WRITERS = range(1001, 1041), range(1, 401), 4
Like = Callable[[Any, int, int], None]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Small batches, and a threshold that some posts reach."""
    return settings.model_copy(update={"viral_threshold": 150, "batch_rows": 300})


@pytest.fixture
def url(settings: Settings) -> str:
    """The database URL in the form of libpq."""
    made = make_url(settings.database_url.get_secret_value())
    return made.set(drivername="postgresql").render_as_string(hide_password=False)


@pytest.fixture
def page(project: Path) -> Path:
    return project / "docs/adoption.md"


@pytest.fixture
def both(page: Path, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> tuple[Like, Like]:
    """``like`` and ``unlike`` of the page, which write to both systems."""
    monkeypatch.setattr(default, "_client", engine.reactions)
    names: dict[str, Any] = {"__name__": "page"}
    (code,) = blocks(page, "python")
    exec(code, names)  # noqa: S102 - code of the page
    return names["like"], names["unlike"]


@pytest.fixture
def database_url(own_database_url: str) -> str:
    """A database of its own: the tests add the table of an old system."""
    return own_database_url


@pytest.fixture
def likes(url: str) -> set[tuple[int, int]]:
    """Fill the old table, and return its rows. Times are whole seconds, so many are equal."""
    chance = random.Random(7)  # noqa: S311
    rows = [
        (user, post, chance.randrange(1_700_000_000, 1_700_000_050))
        for post in POSTS
        for user in chance.sample(USERS, 200 if post % 10 == 1 else 20)
    ]
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE likes (user_id bigint, post_id bigint, created_at timestamptz NOT NULL,"
            " PRIMARY KEY (user_id, post_id))"
        )
        for row in rows:
            cursor.execute("INSERT INTO likes VALUES (%s, %s, to_timestamp(%s))", row)
    return {(user, post) for user, post, _ in rows}


def in_table(url: str) -> set[tuple[int, int]]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT user_id, post_id FROM likes")
        return set(cursor.fetchall())


def run_sql(url: str, statement: str) -> list[Any]:
    """Execute a statement as the application does, whose tables are in the schema `public`."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return list(cursor.fetchall()) if cursor.description else []


def now(engine: Engine) -> str:
    """The time by the clock of Redis, which the page requires."""
    seconds, _ = engine.client.time()
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def run_backfill(project: Path, engine: Engine, url: str, before: str) -> Any:
    """Run the command line of the page, with the real programs."""
    psql = wheel_postgres(18) / "psql"
    export = subprocess.run(
        [psql, "-q", url, "-f", project / "deploy/backfill.sql"], capture_output=True, check=True
    )
    done = subprocess.run(
        [sys.executable, "-m", "reactions", "backfill", "--before", before, "--json"],
        input=export.stdout,
        env=engine.settings.environment(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout.splitlines()[-1])


@contextmanager
def at_work(engine: Engine, url: str, both: tuple[Like, Like]) -> Iterator[None]:
    """Run writers to both systems, drains, loads and reads until the block ends."""
    stop = threading.Event()
    like, unlike = both

    def write(number: int) -> None:
        chance = random.Random(number)  # noqa: S311
        with closing(psycopg2.connect(url)) as connection:
            while not stop.is_set():
                user = chance.choice(USERS[number::WRITERS])  # one writer a user: an order
                post = chance.choice(POSTS)
                (like if chance.random() < 0.5 else unlike)(connection, user, post)

    def drain() -> None:
        worker = make_engine(engine.settings)
        with closing(worker):
            while not stop.is_set():
                worker.persister.drain(range(100))

    def read() -> None:
        chance = random.Random(0)  # noqa: S311
        while not stop.is_set():
            engine.reactions.summaries(chance.sample(POSTS, 10), user_id=chance.choice(USERS))
            engine.loader.load(chance.sample(POSTS, 2))

    tasks: list[Callable[[], None]] = [drain, drain, read]
    with ThreadPoolExecutor() as pool:
        running = [pool.submit(task) for task in tasks]
        running += [pool.submit(write, number) for number in range(WRITERS)]
        try:
            yield
        finally:
            stop.set()
    for task in running:
        task.result()


def check(engine: Engine, url: str, compare: str) -> None:
    """Compare both systems by every kind of read."""
    engine.drain()
    found = engine.verify()
    assert found.holds, found.examples
    assert not found.pending + found.dead_letters
    assert run_sql(url, compare) == []
    with engine.database.transaction() as connection:
        ties = "SELECT post_id, version FROM reactions GROUP BY 1, 2 HAVING count(*) > 1"
        assert connection.execute(text(ties)).all() == []
    old = in_table(url)
    for user in USERS[::4]:
        shown = engine.reactions.summaries(POSTS, user)
        assert [bool(post.reaction) for post in shown] == [(user, post) in old for post in POSTS]
    for post in POSTS:
        there = {user for user, liked in old if liked == post}
        assert engine.reactions.counts(post)["like"] == len(there)
        listed = engine.reactions.reactors(post, limit=50)
        pages = [reactor.user_id for reactor in listed.items]
        while listed.cursor:
            listed = engine.reactions.reactors(post, limit=50, cursor=listed.cursor)
            pages += [reactor.user_id for reactor in listed.items]
        assert sorted(pages) == sorted(there)


def test_the_whole_way_and_back(
    project: Path,
    page: Path,
    engine: Engine,
    url: str,
    both: tuple[Like, Like],
    likes: set[tuple[int, int]],
) -> None:
    compare, came, went = blocks(page, "sql")
    before = now(engine)
    with at_work(engine, url, both):
        first = run_backfill(project, engine, url, before)
        second = run_backfill(project, engine, url, before)
    assert first["lines"] > len(likes) / 2
    assert 0 < first["changed"] <= first["lines"]
    assert first["refused"] == 0
    assert second["lines"] > len(likes) / 2
    check(engine, url, compare)
    run_backfill(project, engine, url, before)
    assert run_backfill(project, engine, url, before)["changed"] == 0
    check(engine, url, compare)

    # Users react without the old table for a while, and then it is brought up to date.
    for user, post in itertools.islice(likes, 400):
        engine.reactions.unreact(user, post)
    engine.reactions.react_many((user, POSTS[0], "like") for user in USERS[100:300])
    engine.drain()
    again = datetime.now(UTC).isoformat()
    with at_work(engine, url, both):
        run_sql(url, came.replace("2026-03-01T12:00:00Z", again))
    engine.drain()
    run_sql(url, went.replace("2026-03-01T12:00:00Z", again))
    check(engine, url, compare)


def test_the_export_copes_with_nulls(engine: Engine, project: Path, url: str) -> None:
    """A row without a post or a user is left out; one without a time is the oldest."""
    with closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(
            "CREATE TABLE likes (user_id bigint, post_id bigint, created_at timestamptz)"
        )
        cursor.execute(
            "INSERT INTO likes VALUES (1, 1001, NULL), (2, 1001, to_timestamp(1700000000)),"
            " (NULL, 1001, now()), (3, NULL, now()), (4, 1001, '1960-01-01')"
        )
    done = run_backfill(project, engine, url, now(engine))
    assert (done["lines"], done["changed"]) == (3, 3)
    assert [r.user_id for r in engine.reactions.reactors(1001).items] == [2, 1, 4]
