"""A real worker drops broken messages: it runs no code from them, and continues."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr
from redis import Redis

from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from tests.hostile.forged import ENTRIES, pickled, raw
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.nodes import CeleryProcess, celery_command
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

POST = 1042


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    with running_redis(tmp_path / "broker", "valkey") as server:
        yield server


@pytest.fixture
def engine(redis_url: str, database_url: str, broker: Valkey) -> Iterator[Engine]:
    """An engine whose own wake-ups reach no broker."""
    settings = Settings(redis_url=redis_url, database_url=database_url, broker_url=broker.url)
    made = make_engine(settings.model_copy(update={"broker_url": SecretStr(DEAD_BROKER)}))
    yield made
    made.close()


@pytest.fixture
def worker(engine: Engine, broker: Valkey, tmp_path: Path) -> Iterator[CeleryProcess]:
    environment = engine.settings.environment() | {"REACTIONS_BROKER_URL": broker.url}
    command = [*celery_command("worker"), "--loglevel=INFO", "--queues=persistence,maintenance"]
    command += ["--concurrency=1", "--without-gossip", "--without-mingle"]
    process = CeleryProcess("worker", tmp_path, command, environment, "ready.")
    try:
        process.start()
        yield process
    finally:
        process.kill()


def test_broken_messages_stop_no_worker_and_are_not_redelivered(
    worker: CeleryProcess, engine: Engine, broker: Valkey, tmp_path: Path
) -> None:
    """After each broken message, the worker's only process still handles a valid one."""
    made = tmp_path / "made"
    with Redis(port=broker.port) as queue:
        for user, entry in enumerate([*ENTRIES, pickled(made)], start=1):
            engine.reactions.react(user, POST, "like")
            queue.lpush("persistence", entry, raw())
            wait_until(
                lambda: not worker.alive() or not engine.outbox_state.pending(),
                what=f"what came after {entry[:300]!r}",
            )
            assert worker.alive(), (entry[:300], worker.output()[-2_000:])
        wait_until(
            lambda: not queue.llen("persistence") and not queue.hlen("unacked"),
            what="all are gone from the broker",
        )
    assert not made.exists()
    assert engine.queries.reactions([POST])[POST] == dict.fromkeys(range(1, len(ENTRIES) + 2), 1)
    assert engine.verify().holds
    assert engine.dead_letters.count() == 0
    assert "dropped a " in worker.output()
