"""Worker, beat, doctor and metrics with RabbitMQ as the broker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy import text

from reactions.api.client import Reactions
from reactions.api.publisher import Publisher
from reactions.core.celery_app import DRAIN, make_app
from reactions.core.settings import Settings
from reactions.ops.doctor import State
from reactions.ops.metrics import StoresCollector
from reactions.redis.connection import connect
from tests.ops.doctor.examining import findings
from tests.support.engine import Engine
from tests.support.nodes import Beat, CeleryProcess, LocalContainer, LocalWorker, celery_command
from tests.support.nodes import running as running_container
from tests.support.rabbitmq import RabbitMq
from tests.support.servers import running_redis
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

LOCK = "{redbeat}::lock"


@pytest.fixture
def settings(settings: Settings, rabbitmq: RabbitMq) -> Settings:
    """No sweep comes to help, unless a test has a beat."""
    broker = {"broker_url": SecretStr(rabbitmq.url), "sweep_interval_s": 1.0}
    return settings.model_copy(update=broker)


@contextmanager
def channel(settings: Settings) -> Iterator[Any]:
    with make_app(settings).connection_for_write() as connection:
        yield connection.default_channel


@pytest.fixture(autouse=True)
def _no_queues(settings: Settings) -> Iterator[None]:
    yield
    with channel(settings) as at:
        for name in ("persistence", "maintenance"):
            at.queue_delete(name)


@contextmanager
def running_worker(settings: Settings, folder: Path) -> Iterator[CeleryProcess]:
    options = ["--loglevel=INFO", f"--queues={LocalWorker.worker_queue()}", "--concurrency=1"]
    command = [*celery_command("worker"), *options, "--without-gossip", "--without-mingle"]
    worker = CeleryProcess("worker", folder, command, settings.environment(), "ready.")
    with running_container(LocalContainer(worker)):
        yield worker


def durable(engine: Engine, user: int) -> bool:
    return user in engine.queries.reactions([1042])[1042]


def test_a_retry_waits_in_rabbitmq_and_not_in_the_worker(
    settings: Settings, engine: Engine, tmp_path: Path
) -> None:
    """The worker has one place. A retry that kept it would keep it from everything else."""
    impatient = settings.model_copy(update={"database_timeout_s": 0.3})
    with running_worker(impatient, tmp_path) as worker, Reactions(settings) as web:
        web.react(1, 1042, "like")
        wait_until(lambda: durable(engine, 1), 60, "durable")
        with engine.database.engine.begin() as locking:
            locking.execute(text("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE"))
            web.react(2, 1042, "like")
            wait_until(lambda: "drain failed" in worker.output(), 60, "a retry")
        wait_until(lambda: durable(engine, 2), 60, "durable after a retry")
        assert "Retry in" in worker.output()
        assert "Traceback" not in worker.output()
        Publisher(settings).send(DRAIN, kwargs={"shards": [42]}, compression="zlib")
        wait_until(lambda: "dropped a message" in worker.output(), what="it is not decompressed")
        found = findings(settings)
    assert {name: found[name].state for name in found if name.startswith(("queue", "beat"))} == {
        "queue persistence": State.OK,
        "queue maintenance": State.OK,
        "beat": State.FAILURE,
    }
    assert found["broker version"].state is State.OK


@pytest.fixture
def on_cluster(settings: Settings, tmp_path: Path) -> Iterator[Settings]:
    with running_redis(tmp_path, "cluster") as node:
        urls = {"redis_url": SecretStr(node.url), "redis_cluster": True}
        yield settings.model_copy(update=urls)


def test_a_second_beat_stands_by(on_cluster: Settings, tmp_path: Path) -> None:
    """Their lock is in the Redis of the data, even a cluster. It expires with the first beat."""
    beats = [Beat(f"beat-{number}", tmp_path, on_cluster) for number in range(2)]
    with (
        connect(on_cluster) as client,
        running_container(LocalContainer(beats[0])),
        running_container(LocalContainer(beats[1])),
    ):
        wait_until(lambda: any(beat.leads() for beat in beats), 30, "one leads")
        leader, standby = sorted(beats, key=Beat.leads, reverse=True)
        wait_until(leader.sweeps, 30, "it sends")
        assert findings(on_cluster)["beat"].state is State.OK
        assert not standby.leads()
        leader.kill()
        assert 0 < client.pttl(LOCK) <= 10_000
        client.delete(LOCK)  # it would expire by then
        wait_until(standby.sweeps, 30, "the other one sends")


def lengths(engine: Engine, settings: Settings) -> dict[str, float]:
    collector = StoresCollector(engine.client, engine.database, settings)
    return {
        sample.labels["queue"]: sample.value
        for family in collector._queue_families()
        for sample in family.samples
    }


def test_the_metrics_have_the_lengths_of_the_queues(settings: Settings, engine: Engine) -> None:
    assert lengths(engine, settings) == {"persistence": 0, "maintenance": 0}  # there are none yet
    with channel(settings) as at:  # of an earlier version
        at.queue_declare("maintenance", durable=True, auto_delete=False)
        at.basic_publish(at.prepare_message(b"1"), exchange="", routing_key="maintenance")
    assert lengths(engine, settings) == {"persistence": 0, "maintenance": 1}
    with Reactions(settings) as web:
        web.react(1, 1042, "like")
    wait_until(lambda: lengths(engine, settings)["persistence"] == 1, what="the wake-up")
