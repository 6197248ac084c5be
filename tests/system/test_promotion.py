"""A standby takes over under writes: a URL with both hosts, and what the standby lacks."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from contextlib import suppress

import psycopg2
import pytest
from pydantic import SecretStr
from sqlalchemy.engine import make_url

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.drain.batch import DrainFailed
from reactions.maintenance.epochs import Loss
from reactions.maintenance.loss_detection import LossDetection
from reactions.postgres.migrate import migrate
from tests.postgres.standby import asked, running_standby, wait_for_replay
from tests.support.engine import Engine, make_engine
from tests.support.servers import running_postgres
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

POSTS = range(1, 101)

CUT_OFF = ("ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()")


def both(primary: Postgres, standby: Postgres) -> str:
    hosts = ",".join(str(make_url(server.url).query["host"]) for server in (primary, standby))
    return f"postgresql+psycopg2://postgres:@/postgres?host={hosts}&target_session_attrs=read-write"


class Writing(threading.Thread):
    """Reacts on all posts, each time as another user, and drains; whatever PostgreSQL does.

    Attributes:
        acknowledged: how many reactions.
        drained: how many rows drains wrote.
    """

    def __init__(self, engine: Engine) -> None:
        super().__init__(daemon=True)
        self.acknowledged = self.drained = 0
        self.going_on = threading.Event()
        self._engine = engine
        self.going_on.set()

    def run(self) -> None:
        for user in itertools.count(1):
            if not self.going_on.is_set():
                return
            self._engine.reactions.react_many((user, post, "like") for post in POSTS)
            self.acknowledged += len(POSTS)
            with suppress(DrainFailed):
                self.drained += self._engine.persister.drain(range(100)).rows

    def wait_for(self, rows: int) -> None:
        until = self.drained + rows
        wait_until(lambda: self.drained >= until, what=f"{rows} rows more are drained")


def cut_off(standby: Postgres) -> None:
    """Let the standby receive nothing more, as in a partition just before the primary dies."""
    connection = psycopg2.connect(standby.url)
    connection.autocommit = True
    for statement in CUT_OFF:
        connection.cursor().execute(statement)
    connection.close()
    with asked(standby.url) as ask:
        receivers = "SELECT count(*) FROM pg_stat_wal_receiver"
        wait_until(lambda: ask(receivers) == 0, what="the standby receives nothing")


def test_what_a_promoted_standby_lacks_is_noticed_and_the_caches_are_rebuilt(
    settings: Settings,
) -> None:
    """The loss is far shorter than the ten seconds in which the ticks of epochs would show it."""
    with running_postgres(18) as primary:
        migrate(Settings(database_url=primary.url))
        with running_standby(primary) as standby:
            changed = {"database_url": SecretStr(both(primary, standby))}
            engine = make_engine(settings.model_copy(update=changed))
            loss_detection = LossDetection(engine.client, engine.database, engine.settings)
            assert loss_detection.run() is None
            writing = Writing(engine)
            writing.start()
            writing.wait_for(200)
            assert loss_detection.run() is None
            with asked(primary.url) as ask:
                wait_for_replay(
                    standby.url, ask("SELECT pg_current_wal_insert_lsn()")
                )  # commits are lazy
            cut_off(standby)
            writing.wait_for(300)  # the standby never gets these
            os.kill(primary.pid, signal.SIGQUIT)
            with asked(standby.url) as ask:
                assert ask("SELECT pg_promote(true, 60)")
            writing.wait_for(200)  # the same process goes on with the other host
            writing.going_on.clear()
            writing.join()
            engine.drain()
            check_after(engine, writing, loss_detection)
            engine.close()


def check_after(engine: Engine, writing: Writing, loss_detection: LossDetection) -> None:
    stored = sum(engine.queries.counts([post])[post].get(1, 0) for post in POSTS)
    assert writing.acknowledged - 100 - writing.drained < stored < writing.acknowledged
    shown = sum(engine.reactions.counts(post)["like"] for post in POSTS)
    run = loss_detection.run()
    assert run is not None
    assert dict(run.found) == {Loss.DATABASE: 100}
    assert sum(engine.reactions.counts(post)["like"] for post in POSTS) == stored
    assert engine.verify().holds
    assert loss_detection.run() is None
    assert shown >= stored
