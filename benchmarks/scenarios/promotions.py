"""``python -m benchmarks promotions``: what an asynchronous standby of PostgreSQL loses.

A thread reacts in batches, each time as another user, and a drain writes them to PostgreSQL. In the
middle, the standby is cut off, the primary dies by ``kill -9`` a moment later, and the standby is
promoted; the URL names both. Every
acknowledged reaction that neither Redis nor the new primary has afterwards is lost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import psutil
import psycopg2
from sqlalchemy import make_url

from benchmarks.support import machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.standbys import running_standby
from benchmarks.support.waiting import wait_until
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.drain.batch import DrainFailed
from reactions.drain.persister import Persister
from reactions.maintenance.loss_detection import LossDetection
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.postgres.queries import Queries
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState

POSTS = range(1, 101)


class Writer(threading.Thread):
    """Reacts on all posts as one user after the other, and drains after each.

    Attributes:
        acknowledged: users whose reactions were acknowledged.
        longest_s: the longest time between two drains that wrote rows.
    """

    def __init__(self, reactions: Reactions, persister: Persister) -> None:
        super().__init__(daemon=True)
        self.acknowledged, self.longest_s, self.stopping = 0, 0.0, False
        self._reactions, self._persister = reactions, persister

    def run(self) -> None:
        last = time.monotonic()
        while not self.stopping:
            user = self.acknowledged + 1
            self._reactions.react_many((user, post, "like") for post in POSTS)
            self.acknowledged = user
            with suppress(DrainFailed):
                if self._persister.drain(range(100)).rows:
                    self.longest_s = max(self.longest_s, time.monotonic() - last)
                    last = time.monotonic()


@contextmanager
def running_pair(where: Path, synchronous: bool) -> Iterator[tuple[Postgres, Postgres]]:
    """A primary with the tables, and a standby of it."""
    with ExitStack() as stack:
        primary = stack.enter_context(servers.running_postgres(where))
        migrate(Settings(database_url=primary.url))
        standby = stack.enter_context(running_standby(primary))
        if synchronous:
            ask(primary.url, "ALTER SYSTEM SET synchronous_standby_names = '*'")
            ask(primary.url, "SELECT pg_reload_conf()")
        state = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_until(lambda: ask(primary.url, state) == 1, 30, "the standby streams")
        yield primary, standby


def ask(url: str, statement: str) -> Any:  # noqa: ANN401 - any value of PostgreSQL
    """Execute a statement; return its only value, if it has one."""
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchone()[0] if cursor.description else None
    finally:
        connection.close()


def kill(server: Postgres) -> None:
    """Kill a server as a power cut does: none of its processes finishes anything."""
    postmaster = psutil.Process(server.pid)
    for process in (postmaster, *postmaster.children()):
        process.kill()


def measure(where: Path, synchronous: bool, cut_s: float, seconds: float) -> dict[str, Any]:
    """One promotion. Returns how many acknowledged reactions are missing, and the gap of drains."""
    with ExitStack() as stack:
        primary, standby = stack.enter_context(running_pair(where / "primary", synchronous))
        valkey = stack.enter_context(servers.running_redis(where, "valkey", {}))
        hosts = ",".join(str(make_url(one.url).query["host"]) for one in (primary, standby))
        url = f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs=read-write"
        settings = servers.settings_with(redis_url=valkey.url, database_url=url)
        client = stack.enter_context(connect(settings))
        database = Database(settings)
        stack.callback(database.close)
        persister = Persister(client, database, settings)
        duty = LossDetection(client, database, settings)
        duty.run()
        writer = Writer(stack.enter_context(Reactions(settings)), persister)
        writer.start()
        time.sleep(seconds)
        duty.run()
        ask(standby.url, "ALTER SYSTEM SET primary_conninfo = ''")
        ask(standby.url, "SELECT pg_reload_conf()")
        time.sleep(cut_s)
        kill(primary)
        ask(standby.url, "SELECT pg_promote(true, 60)")
        ask(standby.url, "ALTER SYSTEM SET synchronous_standby_names = ''")
        ask(standby.url, "SELECT pg_reload_conf()")
        time.sleep(seconds)
        writer.stopping = True
        writer.join()
        outbox = OutboxState(client, settings)
        while outbox.pending():  # also what the leases of failed drains hold
            persister.drain(range(100))
        stored = Queries(database).counts(POSTS)
        expected = writer.acknowledged * len(POSTS)
        run = duty.run()
        return {
            "standby": "synchronous" if synchronous else "asynchronous",
            "acknowledged": expected,
            "lost": expected - sum(counts.get(1, 0) for counts in stored.values()),
            "noticed": bool(run and run.found),
            "longest_gap_s": round(writer.longest_s, 2),
        }


def run(rounds: int, cut_s: float, seconds: float, show: Show) -> list[dict[str, Any]]:
    """Both kinds of standby, each so many times, on servers of their own."""
    found = []
    kinds: list[bool] = [False, True] * rounds
    for number, synchronous in enumerate(kinds):
        with servers.temporary_folder("promotions") as where:
            found.append(measure(where, synchronous, cut_s, seconds))
        show("promotions", number + 1, len(kinds))
    return found


@click.command(context_settings=output.HELP)
@click.option("--rounds", type=click.IntRange(1, 100), default=3, show_default=True)
@click.option(
    "--cut",
    type=click.FloatRange(0, 60),
    default=0.2,
    show_default=True,
    help="How long (s) the standby receives nothing before the primary dies.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=3.0,
    show_default=True,
    help="How long to write before the promotion, and after it.",
)
@output.as_markdown
@output.as_json
def main(rounds: int, cut: float, seconds: float, as_markdown: bool, as_json: bool) -> None:
    """Measure what the promotion of a standby of PostgreSQL loses."""
    output.quiet_logs()
    with bars(36) as show:
        found = run(rounds, cut, seconds, show)
    output.print_table(
        "Promotions of a standby, under writes",
        ["standby", "acknowledged", "lost", "noticed", "gap of drains in s"],
        [list(each.values()) for each in found],
        as_markdown,
    )
    output.finish({"machine": machine.summary(), "cases": found}, as_json)
