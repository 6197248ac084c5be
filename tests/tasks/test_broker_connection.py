"""A switch-over of the broker: web tier, worker and beat take the new primary, and none ends."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import kombu
import pytest
from pydantic import SecretStr
from sqlalchemy import text

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.tasks.broker_connection import Transport
from tests.support.broker_pair import BrokerPair, broker_pair
from tests.support.engine import Engine
from tests.support.nodes import Beat, CeleryProcess, LocalContainer, LocalWorker, celery_command
from tests.support.nodes import running as running_container
from tests.support.waiting import bounded, patience, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[BrokerPair]:
    with broker_pair(tmp_path) as pair:
        yield pair


@pytest.fixture
def settings(settings: Settings, pair: BrokerPair) -> Settings:
    """A drain may wait for long."""
    broker = {"broker_url": SecretStr(pair.url), "database_timeout_s": patience(10)}
    return settings.model_copy(update=broker)


def worker_of(settings: Settings, folder: Path) -> CeleryProcess:
    options = ["--loglevel=INFO", f"--queues={LocalWorker.worker_queue()}", "--concurrency=1"]
    command = [*celery_command("worker"), *options, "--without-gossip", "--without-mingle"]
    return CeleryProcess("worker", folder, command, settings.environment(), "ready.")


WAITING = "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"


def durable(engine: Engine, user: int) -> bool:
    return user in engine.queries.reactions([1042])[1042]


def test_nobody_stays_with_the_old_broker(
    settings: Settings, engine: Engine, pair: BrokerPair, tmp_path: Path
) -> None:
    worker, beat = worker_of(settings, tmp_path), Beat("beat", tmp_path, settings)
    with (
        running_container(LocalContainer(worker)),
        running_container(LocalContainer(beat)),
        Reactions(settings) as web,
    ):
        web.react(1, 1042, "like")
        wait_until(lambda: durable(engine, 1), 60, "durable before")
        wait_until(lambda: beat.sweeps() > 1, 60, "beat sends")
        with engine.database.engine.begin() as locking:  # a drain is under way meanwhile
            locking.execute(text("LOCK TABLE reactions IN ACCESS EXCLUSIVE MODE"))
            web.react(2, 1042, "like")
            wait_until(lambda: locking.execute(text(WAITING)).all(), 60, "the drain waits")
            pair.switch_over()
        wait_until(lambda: durable(engine, 2), 20, "durable after")
        published, swept = web.relay_stats().published, beat.sweeps()
        users = count(3)

        def publishes() -> bool:
            web.react(next(users), 1042, "like")
            return web.relay_stats().published > published

        wait_until(publishes, 60, "the web tier publishes")
        wait_until(lambda: durable(engine, 3), 60, "durable again")
        wait_until(lambda: beat.sweeps() > swept, 90, "beat sends again")
        assert worker.alive()
        assert beat.alive()


def test_nothing_waits_for_a_message_of_remote_control_that_has_not_come(valkey: Valkey) -> None:
    """As when an event of a closed connection is left, whose file descriptor has a new owner."""
    of: Any = kombu  # it has no types
    with of.Connection(valkey.url, transport=Transport) as connection:
        channel = connection.channel()
        heard: list[bytes] = []
        control = of.Exchange("control", "fanout", durable=False)
        queue = of.Queue("control", control, durable=False)
        of.Consumer(channel, [queue], on_message=lambda got: heard.append(got.body)).consume()
        connection.transport.cycle._register_LISTEN(channel)

        def answered() -> bool:
            channel._receive()  # the confirmation of the server, at first
            return not channel._in_listen.can_read(timeout=0)

        with bounded(20):
            wait_until(answered)
            assert channel._receive() is False
        of.Producer(channel).publish("news", exchange="control", serializer="json")
        wait_until(lambda: channel._in_listen.can_read(timeout=0))
        channel._receive()
        assert heard == [b'"news"']
        channel.subclient.connection.disconnect()
        assert channel._receive() is False
