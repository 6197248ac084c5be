"""``reactions.core.rabbitmq``, with a real RabbitMQ."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
import trustme
from amqp import NotFound
from pydantic import SecretStr

from reactions.api.client import Reactions
from reactions.api.publisher import Publisher
from reactions.core.celery_app import DRAIN, make_app, make_publisher
from reactions.core.rabbitmq import possible_delay
from reactions.core.settings import Settings
from tests.support.rabbitmq import RabbitMq
from tests.support.waiting import bounded, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture
def publisher(rabbitmq: RabbitMq) -> Iterator[Publisher]:
    """Its queues exist, and are empty."""
    settings = Settings(broker_url=rabbitmq.url)
    app = make_app(settings)
    with app.connection_for_write() as connection:
        for queue in app.conf.task_queues:
            queue(connection.default_channel).declare()
            queue(connection.default_channel).purge()
    publisher = Publisher(settings)
    yield publisher
    publisher._disconnect()
    with app.connection_for_write() as connection:
        for queue in app.conf.task_queues:
            connection.default_channel.queue_delete(queue.name)


def waiting(rabbitmq: RabbitMq, name: str) -> int:
    app = make_app(Settings(broker_url=rabbitmq.url))
    with app.connection_for_write() as connection:
        declared = app.amqp.queues[name](connection.default_channel).queue_declare(passive=True)
        return int(declared.message_count)


def test_a_message_is_in_a_quorum_queue_when_it_was_sent(
    rabbitmq: RabbitMq, publisher: Publisher
) -> None:
    publisher.send(DRAIN, kwargs={"shards": [1]})
    wait_until(lambda: waiting(rabbitmq, "persistence") == 1, what="the message")
    queues = make_publisher(Settings(broker_url=rabbitmq.url)).conf.task_queues
    assert [queue.queue_arguments["x-queue-type"] for queue in queues] == ["quorum"] * 2


def test_a_message_that_rabbitmq_refuses_was_not_sent(publisher: Publisher) -> None:
    """Without confirmation, RabbitMQ closes the channel later, and nobody learns of the loss."""
    publisher.send(DRAIN, kwargs={"shards": [1]})
    with pytest.raises(NotFound):
        publisher.send(DRAIN, kwargs={"shards": [2]}, exchange="none", routing_key="none")
    publisher.send(DRAIN, kwargs={"shards": [3]})


def test_nobody_waits_long_for_a_frozen_rabbitmq(rabbitmq: RabbitMq, publisher: Publisher) -> None:
    publisher.send(DRAIN, kwargs={"shards": [1]})
    with rabbitmq.frozen():
        for _ in range(2):  # over the open connection, then over a new one
            with bounded(3), pytest.raises(Exception, match="timed out"):
                publisher.send(DRAIN, kwargs={"shards": [2]})
    publisher.send(DRAIN, kwargs={"shards": [3]})


def test_a_reaction_does_not_wait_for_a_frozen_rabbitmq(
    rabbitmq: RabbitMq, settings: Settings
) -> None:
    values = {"broker_url": SecretStr(rabbitmq.url), "wake_interval_s": 0.01}
    with Reactions(settings.model_copy(update=values)) as web:
        with rabbitmq.frozen():
            with bounded(1):
                web.react(1, 1042, "like")
            wait_until(lambda: web.relay_stats().failed, what="the wake-up fails")
        wait_until(lambda: web.relay_stats().published, what="the wake-up is sent again")


def test_a_compressed_message_stays_as_it_is(rabbitmq: RabbitMq, publisher: Publisher) -> None:
    """A few kB may expand to any size."""
    publisher.send(DRAIN, kwargs={"shards": [1] * 10_000}, compression="zlib")
    app = make_app(Settings(broker_url=rabbitmq.url))
    with app.connection_for_read() as connection:
        channel = connection.default_channel
        wait_until(lambda: waiting(rabbitmq, "persistence") == 1, what="the message")
        raw = channel.basic_get("persistence")
        message = channel.message_to_python(raw)
    assert len(message.body) < 10_000
    assert message.headers["compressed"]


@pytest.mark.parametrize(("name", "trusted"), [("localhost", True), ("mq.example", False)])
def test_the_certificate_must_have_the_name_of_the_server(
    name: str, trusted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server is TLS alone: what matters is whether the client speaks to it at all."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    heard: list[bytes] = []

    def serve(server: socket.socket) -> None:
        with suppress(OSError), context.wrap_socket(server.accept()[0], server_side=True) as at:
            heard.append(at.recv(4))

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        serving = pool.submit(serve, server)
        url = f"amqps://localhost:{server.getsockname()[1]}//"
        with make_publisher(Settings(broker_url=url)).connection_for_write() as connection:
            connection.transport_options |= {"answer_timeout": 1}
            with pytest.raises(OSError, match="closed" if trusted else "Hostname"):
                connection.transport.establish_connection()
        serving.result()
    assert heard == ([b"AMQP"] if trusted else [])


def test_a_delay_on_rabbitmq_is_in_whole_seconds(settings: Settings) -> None:
    on_redis = make_app(settings)
    on_rabbitmq = make_app(Settings(broker_url="amqp://mq"))
    assert [possible_delay(on_redis, s) for s in (0.2, 1.5)] == [0.2, 1.5]
    assert [possible_delay(on_rabbitmq, s) for s in (0.2, 1.5, 2.0)] == [1, 2, 2]
