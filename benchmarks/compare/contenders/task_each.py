"""(b) One Celery task a reaction: upsert and counter in one transaction, in one round trip.

Tuning: no results, no events, no gossip; messages have positional arguments and are published
without retries over one open connection. Workers prefetch 100 tasks, which saves round trips to the
broker, and each keeps one connection with prepared statements. Tasks are acknowledged late, as in
ours, or a killed worker would lose what it fetched. Two workers may swap two reactions of a user:
the result may differ from what was acknowledged, and nothing repairs that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache

from celery import Celery

from benchmarks.compare.contenders import tables
from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.support.arena import Arena
from reactions.core.settings import Settings

QUEUE = "contender"
REACT = "contender.react"


def make_app(settings: Settings) -> Celery:
    app = Celery("contender", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_acks_late=True,
        task_default_queue=QUEUE,
        task_publish_retry=False,
        worker_prefetch_multiplier=100,
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
    )
    return app


app = make_app(Settings.from_env())


@cache
def session() -> tables.Session:
    """The session of a worker process, made after its fork."""
    return tables.Session(Settings.from_env())


@app.task(name=REACT)  # type: ignore[untyped-decorator]  # Celery has no types
def react(user: int, post: int, code: int) -> None:
    session().react(user, post, code)


class _Publisher:
    """Publishes a task for each reaction; reads from PostgreSQL."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_app(settings)
        self._producer = self._app.amqp.Producer(self._app.connection_for_write())
        self._session = tables.Session(settings)

    def react(self, user: int, post: int, code: int) -> object:
        return self._app.send_task(REACT, (user, post, code), producer=self._producer)

    def feed(self, user: int, posts: Sequence[int]) -> object:
        return self._session.feed(user, posts)

    def close(self) -> None:
        self._session.close()
        self._app.close()


class TaskEach(Contender):
    name = "task"
    title = "(b) one Celery task a reaction"

    def prepare(self, arena: Arena) -> None:
        tables.prepare(arena)

    def connect(self, settings: Settings) -> Client:
        return _Publisher(settings)

    def start(self, arena: Arena) -> None:
        arena.start_worker(__name__, make_app(arena.settings))

    def settled(self, arena: Arena) -> bool:
        # Twice: while a worker fetches a message, it is in neither place for a moment.
        return not any(arena.broker.llen(QUEUE) or arena.broker.hlen("unacked") for _ in range(2))

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        return tables.tally(arena)
