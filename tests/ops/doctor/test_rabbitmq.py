"""``reactions.ops.doctor.rabbitmq``: its version, and queues of the wrong type."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace as Made

import pytest
from kombu.transport.pyamqp import Transport

from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.ops.doctor import State
from reactions.ops.doctor.findings import Finding
from reactions.ops.doctor.rabbitmq import _version, check_rabbitmq
from tests.support.rabbitmq import RabbitMq

pytestmark = pytest.mark.slow

NAMES = ("persistence", "maintenance")


@pytest.fixture(autouse=True)
def _no_queues(rabbitmq: RabbitMq) -> Iterator[None]:
    yield
    with make_app(Settings(broker_url=rabbitmq.url)).connection_for_write() as connection:
        for name in NAMES:
            connection.default_channel.queue_delete(name)


def examined(rabbitmq: RabbitMq, *, wrong: tuple[str, ...] = (), right: int = 0) -> Finding:
    """Examine the queues; some were made by an earlier version, the first ``right`` by this one."""
    app = make_app(Settings(broker_url=rabbitmq.url))
    with app.connection_for_write() as connection:
        for name in wrong:
            connection.default_channel.queue_declare(name, durable=True, auto_delete=False)
        for queue in app.conf.task_queues[:right]:
            queue(connection.default_channel).declare()
        version, queues = check_rabbitmq(connection, app)
    assert (version.check, version.state) == ("broker version", State.OK)
    assert queues.check == "broker queues"
    return queues


def test_queues_of_every_state(rabbitmq: RabbitMq) -> None:
    missing = examined(rabbitmq)
    assert (missing.state, missing.found[:24]) == (State.WARNING, "persistence, maintenance")
    assert examined(rabbitmq, right=1).found.startswith("maintenance: not there")
    assert examined(rabbitmq, right=2).state is State.OK


def test_queues_that_an_earlier_version_made(rabbitmq: RabbitMq) -> None:
    """No worker would start with them."""
    found = examined(rabbitmq, wrong=NAMES)
    assert found.state is State.FAILURE
    assert "rabbitmqctl delete_queue persistence; rabbitmqctl delete_queue" in found.remedy


@pytest.mark.parametrize(
    ("product", "version", "state"),
    [
        ("RabbitMQ", "4.1.0", State.OK),
        ("RabbitMQ", "3.10.8", State.OK),
        ("RabbitMQ", "3.9.27", State.FAILURE),
        ("RabbitMQ", "next", State.WARNING),
        ("Qpid", "9.0", State.WARNING),
    ],
)
def test_a_version(product: str, version: str, state: State) -> None:
    assert _version(product, version).state is state


def test_another_broker_is_not_examined() -> None:
    transport = Made(driver_type="redis")
    assert Transport.driver_type == "amqp"
    assert not list(check_rabbitmq(Made(transport=transport), make_app(Settings())))
