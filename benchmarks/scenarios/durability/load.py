"""Processes that react until the server dies, and what is missing afterwards."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis import Redis

from benchmarks.scenarios.durability.replica import READY_S
from benchmarks.support import servers
from benchmarks.support.waiting import wait_until
from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.demo.embedded import Valkey
from reactions.redis.keys import default_keys as keys

POSTS = 100


def _writer(
    url: str,
    number: int,
    writers: int,
    replicas: int,
    acknowledged: Any,  # noqa: ANN401 - multiprocessing has no public types
    go: Any,  # noqa: ANN401
) -> None:
    """One process: users react in order, each once, until the server dies."""
    logging.getLogger("reactions").setLevel(logging.ERROR)  # there is no broker, on purpose
    settings = servers.settings_with(redis_url=url, redis_timeout_s=5.0)
    with Reactions(settings) as client:
        user = number
        go.wait(60)
        while True:
            try:
                client.react(user + 1, user % POSTS + 1, "like", replicas=replicas)
            except ReactionsUnavailable:
                return
            acknowledged[number] += 1
            user += writers


@contextmanager
def load(server: Valkey, writers: int, replicas: int) -> Iterator[Any]:
    """Run processes that react until the server dies; yields the reactions acknowledged to each."""
    context = multiprocessing.get_context("spawn")
    acknowledged, go = context.RawArray("Q", writers), context.Event()
    processes = [
        context.Process(
            target=_writer, args=(server.url, n, writers, replicas, acknowledged, go), daemon=True
        )
        for n in range(writers)
    ]
    for process in processes:
        process.start()
    go.set()
    try:
        wait_until(lambda: min(acknowledged) > 20, READY_S, "all writers react")
        yield acknowledged
        for process in processes:
            process.join(READY_S)
    finally:
        for process in processes:
            process.kill()


def missing(server: Valkey, acknowledged: Any) -> int:  # noqa: ANN401 - a shared array
    """The number of acknowledged reactions that are not pending; there is no drain."""
    with Redis(port=server.port) as client, client.pipeline(transaction=False) as pipe:
        for post in range(1, POSTS + 1):
            pipe.hkeys(keys.post_pending(post))
        held = {int(user) for users in pipe.execute() for user in users}
    writers = len(acknowledged)
    return sum(
        number + at * writers + 1 not in held
        for number in range(writers)
        for at in range(acknowledged[number])
    )
