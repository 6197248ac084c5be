"""publisher.py: a broker that became a replica, and a connection that went silent."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from reactions.api import publisher
from reactions.api.publisher import Publisher
from reactions.core.celery_app import DRAIN
from reactions.core.instruments import CONDEMNED
from reactions.core.settings import Settings
from tests.support.broker_pair import BrokerPair, broker_pair

pytestmark = pytest.mark.slow


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[BrokerPair]:
    with broker_pair(tmp_path) as pair:
        yield pair


def send(publisher: Publisher) -> None:
    publisher.send(DRAIN, kwargs={"shards": [7]})


@pytest.mark.parametrize("process", ["web", "worker"])
def test_a_switch_over_costs_one_message(pair: BrokerPair, process: str) -> None:
    if process == "worker":
        import reactions.tasks  # noqa: F401 - it changes the transport of its process
    sender = Publisher(Settings(broker_url=pair.url))
    send(sender)
    condemned = CONDEMNED.labels("broker")._value.get()
    pair.switch_over()
    with pytest.raises(Exception, match="read only replica"):
        send(sender)
    assert CONDEMNED.labels("broker")._value.get() == condemned + 1
    send(sender)
    send(sender)
    with pair.primary() as broker:
        assert broker.llen("persistence") == 3


def test_a_connection_that_was_idle_for_long_is_replaced(
    pair: BrokerPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender = Publisher(Settings(broker_url=pair.url))
    send(sender)
    pair.name.drop_silently()
    monkeypatch.setattr(publisher, "MAX_IDLE_S", 0.01)
    time.sleep(0.02)
    send(sender)
    with pair.primary() as broker:
        assert broker.llen("persistence") == 2


def test_a_silent_broker_costs_one_message(pair: BrokerPair) -> None:
    sender = Publisher(Settings(broker_url=pair.url))
    send(sender)
    pair.name.drop_silently()
    with pytest.raises(Exception, match="Timeout"):
        send(sender)
    send(sender)
    with pair.primary() as broker:
        assert broker.llen("persistence") == 2
