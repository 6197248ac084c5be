"""A failover by Sentinels that know data, broker and schedule: all take the new primary."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.ops.doctor import State
from tests.ops.doctor.examining import findings
from tests.support.engine import Engine
from tests.support.nodes import Beat, CeleryProcess, LocalContainer, LocalWorker, celery_command
from tests.support.nodes import running as running_container
from tests.support.sentinel import Watched, running_sentinels
from tests.support.types import write_default_types
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with running_sentinels(tmp_path) as watched:
        with watched.primary().client() as primary:
            write_default_types(primary)
        yield watched


@pytest.fixture
def settings(settings: Settings, watched: Watched) -> Settings:
    urls = {
        "redis_url": SecretStr(watched.url),
        "broker_url": SecretStr(watched.url.replace("/0?", "/1?")),
    }
    return settings.model_copy(update={**urls, "redis_timeout_s": patience(0.5)})


def durable(engine: Engine, user: int) -> bool:
    return user in engine.queries.reactions([1042])[1042]


def test_nobody_stays_with_the_old_primary(
    settings: Settings, engine: Engine, watched: Watched, tmp_path: Path
) -> None:
    options = ["--loglevel=INFO", f"--queues={LocalWorker.worker_queue()}", "--concurrency=1"]
    command = [*celery_command("worker"), *options, "--without-gossip", "--without-mingle"]
    worker = CeleryProcess("worker", tmp_path, command, settings.environment(), "ready.")
    beat = Beat("beat", tmp_path, settings)
    with (
        running_container(LocalContainer(worker)),
        running_container(LocalContainer(beat)),
        Reactions(settings) as web,
    ):
        web.react(1, 1042, "like")
        wait_until(lambda: durable(engine, 1), 60, "durable before")
        wait_until(lambda: beat.sweeps() > 1, 60, "beat sends")
        found = findings(settings)
        assert (found["beat"].state, found["broker role"].state) == (State.OK, State.OK)
        old = watched.primary()
        old.kill()
        wait_until(lambda: watched.primary() is not old, 60, "another primary")
        published, swept, users = web.relay_stats().published, beat.sweeps(), count(2)

        def publishes() -> bool:
            try:
                web.react(next(users), 1042, "like")
            except ReactionsUnavailable:
                return False
            return web.relay_stats().published > published

        wait_until(publishes, 60, "the web tier publishes")
        last = next(users)
        web.react(last, 1042, "like")
        wait_until(lambda: durable(engine, last), 60, "durable again")
        wait_until(lambda: beat.sweeps() > swept, 90, "beat sends again")
        assert (worker.alive(), beat.alive()) == (True, True)
