"""The checks of URLs, through the settings that use them."""

from __future__ import annotations

import pytest

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.core.urls import DATABASE_DRIVER

pytestmark = pytest.mark.usefixtures("bare_environment")


@pytest.mark.parametrize("url", ["http://h", "cache:6379", "", "redis:/h", " redis://h"])
@pytest.mark.parametrize("name", ["redis_url", "broker_url", "database_url"])
def test_schemes(name: str, url: str) -> None:
    with pytest.raises(InvalidSettings, match=f"{name}: .*must be a URL that starts with one of"):
        Settings(**{name: url})


def test_redis_url_refuses_rabbitmq_and_every_url_refuses_sentinel() -> None:
    for url in ("sentinel://s/0", "amqp://mq"):
        with pytest.raises(InvalidSettings, match="redis_url"):
            Settings(redis_url=url)
    assert Settings(broker_url="amqp://mq").broker_url.get_secret_value() == "amqp://mq"
    with pytest.raises(InvalidSettings, match="broker_url"):  # RedBeat's lock cannot use Sentinel
        Settings(broker_url="sentinel://s/0")


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", DATABASE_DRIVER])
def test_database_url_names_the_driver(scheme: str) -> None:
    url = Settings(database_url=f"{scheme}u@db/x").database_url.get_secret_value()
    assert url == "postgresql+psycopg2://u@db/x"
