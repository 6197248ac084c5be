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


def test_redis_url_refuses_rabbitmq_and_the_broker_takes_it() -> None:
    with pytest.raises(InvalidSettings, match="redis_url"):
        Settings(redis_url="amqp://mq")
    assert Settings(broker_url="amqp://mq").broker_url.get_secret_value() == "amqp://mq"
    # kombu does not know it; also behind another address
    for url in ("unix:///run/redis", "amqp://a;http://b/?x=1"):
        with pytest.raises(InvalidSettings, match="broker_url"):
            Settings(broker_url=url)


@pytest.mark.parametrize("scheme", ["postgres://", "postgresql://", DATABASE_DRIVER])
def test_database_url_names_the_driver(scheme: str) -> None:
    url = Settings(database_url=f"{scheme}u@db/x").database_url.get_secret_value()
    assert url == "postgresql+psycopg2://u@db/x"


def test_database_url_takes_several_hosts_and_the_broker_one() -> None:
    url = "postgresql://u:p@h1:5432,[::1]:5433,h3/x?target_session_attrs=read-write"
    assert Settings(database_url=url).database_url.get_secret_value().endswith(url[10:])
    for scheme in ("redis", "amqp"):
        with pytest.raises(InvalidSettings, match=r"broker_url: .*several hosts; it takes one"):
            Settings(broker_url=f"{scheme}://h1:6379,h2:6379/0")


def test_redis_url_takes_several_nodes_of_a_cluster() -> None:
    url = "redis://u:p@h1:7000,[::1]:7001,h3/0?protocol=3"
    assert Settings(redis_url=url, redis_cluster=True).redis_url.get_secret_value() == url
    with pytest.raises(InvalidSettings, match=r"redis_cluster: .*redis_url names several"):
        Settings(redis_url=url)


def test_an_option_that_the_broker_does_not_take_is_refused_by_name() -> None:
    for url in ("amqp://mq//?heartbeat=10", "rediss://h/0?ssl_cert_reqs=none"):
        assert Settings(broker_url=url).broker_url.get_secret_value() == url
    for url, name in (
        ("redis://h/0?socket_timeout=3", "socket_timeout"),
        ("amqp://a//;amqp://b//?socket_timeout=3", "socket_timeout"),
        ("redis://h/0?heartbeat=3", "heartbeat"),  # kombu ignores it, and beat fails
        ("redis://h/0?ssl_cert_reqs=none", "ssl_cert_reqs"),  # kombu would speak TLS
        ("rediss://h/0?ssl_foo=1", "ssl_foo"),
        ("rediss://h/0?ssl_cert_reqs=maybe", "ssl_cert_reqs, whose value must be required"),
        ("rediss://h/0?ssl_ca_certs=", "ssl_ca_certs, whose value must be given"),
        ("amqp://h//?connect_timeout=3", "connect_timeout"),  # kombu passes a text on
        ("amqps://h//?ssl_ca_certs=/c", "ssl_ca_certs"),  # kombu passes a wrong name on
    ):
        with pytest.raises(InvalidSettings, match=f"broker_url: .*has the option {name}"):
            Settings(broker_url=url)


def test_a_password_that_a_question_mark_cuts_is_not_shown() -> None:
    with pytest.raises(InvalidSettings, match="encode it") as refused:
        Settings(broker_url="redis://hun?ter2=x@h/0")
    assert "ter2" not in str(refused.value)
