"""(d) Buffered deltas, as in Misskey: rows inline, counts as deltas in Redis that a task bakes.

Tuning: one round trip for the row, and one for the deltas. 16 clients, as for PostgreSQL alone,
since each waits for a commit. A task bakes every second, hundreds of posts in one statement, and
once at the end of a run, so that no time is spent waiting for the timer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any

from celery import Celery
from redis import Redis

from benchmarks.compare.contenders import tables
from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.compare.contenders.summaries import Summaries
from benchmarks.support.arena import Arena
from reactions.core.settings import Settings

BAKE = "contender.bake"
DIRTY = "deltas"
TOGETHER = 500
EVERY_S = 1.0

_COUNTS = """
INSERT INTO contender.counts (post_id, reaction, count)
SELECT * FROM unnest(%s::bigint[], %s::smallint[], %s::bigint[]) AS d (post, code, step)
ORDER BY post, code
ON CONFLICT (post_id, reaction) DO UPDATE SET count = counts.count + excluded.count
"""


def make_app(settings: Settings) -> Celery:
    app = Celery("contender", broker=settings.broker_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        task_ignore_result=True,
        task_default_queue="contender",
        worker_send_task_events=False,
        broker_connection_retry_on_startup=True,
        beat_schedule={"bake": {"task": BAKE, "schedule": EVERY_S}},
    )
    return app


app = make_app(Settings.from_env())


@cache
def stores() -> tuple[tables.Session, Redis]:
    """The stores of a worker process, connected after its fork."""
    settings = Settings.from_env()
    return tables.Session(settings), Redis.from_url(settings.redis_url.get_secret_value())


@app.task(name=BAKE)  # type: ignore[untyped-decorator]  # Celery has no types
def bake() -> None:
    session, redis = stores()
    while True:
        found: Any = redis.spop(DIRTY, TOGETHER)
        if not found:
            return
        posts = sorted(map(int, found))
        with redis.pipeline(transaction=True) as pipe:
            for post in posts:
                pipe.hgetall(f"delta:{post}")
                pipe.unlink(f"delta:{post}")
            replies = pipe.execute()[::2]
        steps = [
            (post, int(code), int(step))
            for post, fields in zip(posts, replies, strict=True)
            for code, step in fields.items()
        ]
        if steps:
            session.execute(_COUNTS, tuple(map(list, zip(*steps, strict=True))))


class _Deltas:
    def __init__(self, settings: Settings) -> None:
        self._session = tables.Session(settings)
        self._summaries = Summaries(settings)
        self._redis = Redis.from_url(settings.redis_url.get_secret_value())

    def react(self, user: int, post: int, code: int) -> object:
        old = self._session.put(user, post, code)
        if old == code:
            return None
        with self._redis.pipeline(transaction=False) as pipe:
            if old:
                pipe.hincrby(f"delta:{post}", str(old), -1)
            if code:
                pipe.hincrby(f"delta:{post}", str(code), 1)
            pipe.sadd(DIRTY, post)
            return pipe.execute()

    def feed(self, user: int, posts: Sequence[int]) -> object:
        counts, own = self._session.read(user, posts)
        names = self._summaries.names
        with self._redis.pipeline(transaction=False) as pipe:
            for post in posts:
                pipe.hgetall(f"delta:{post}")
            for post, fields in zip(posts, pipe.execute(), strict=True):
                for code, step in fields.items():
                    counts[post][names[int(code)]] += int(step)
        return self._summaries.make(counts, own)

    def close(self) -> None:
        self._session.close()
        self._redis.close()


class Deltas(Contender):
    name = "deltas"
    title = "(d) buffered deltas, 16 clients"
    processes, threads = 4, 4

    def prepare(self, arena: Arena) -> None:
        tables.prepare(arena)

    def connect(self, settings: Settings) -> Client:
        return _Deltas(settings)

    def start(self, arena: Arena) -> None:
        schedule = arena.stack.folder / "contender-schedule"
        arena.start_worker(__name__, make_app(arena.settings), "--beat", f"--schedule={schedule}")

    def finish(self, arena: Arena) -> None:
        with make_app(arena.settings) as publisher:
            publisher.send_task(BAKE)

    def settled(self, arena: Arena) -> bool:
        return not arena.redis.exists(DIRTY)

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        arena.stop_workers()  # the last bake may not be committed yet
        return tables.tally(arena)
