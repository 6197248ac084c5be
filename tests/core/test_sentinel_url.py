"""``reactions.core.sentinel_url``: what a URL with Sentinels says."""

from __future__ import annotations

import pytest

from reactions.core.celery_app import make_app, make_publisher
from reactions.core.errors import InvalidSettings
from reactions.core.sentinel_url import parse_sentinel
from reactions.core.settings import Settings
from reactions.redis.connection import connect

URL = (
    "rediss+sentinel://app:p%40ss@s1:7000,[::1]:7001,s3/like-store/2"
    "?sentinel_username=ask&sentinel_password=s%26t&ssl_ca_certs=/a%20b.pem"
)


def test_everything_is_in_the_url() -> None:
    found = parse_sentinel(URL)
    assert (found.service, found.tls) == ("like-store", True)
    assert found.sentinels == (("s1", 7000), ("::1", 7001), ("s3", 26379))
    assert (found.username, found.password) == ("ask", "s&t")
    assert found.server == "rediss://app:p%40ss@primary/2?ssl_ca_certs=%2Fa%20b.pem"
    assert "s&t" not in repr(found)
    assert "p%40ss" not in repr(found)


def test_a_short_url() -> None:
    found = parse_sentinel("sentinel://s1/mymaster")
    assert found.server == "redis://primary/0"
    assert found.broker_url == "sentinel://s1:26379/0"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("redis+sentinel://s1,s2", "must end with the service"),
        ("redis+sentinel://s1,s2/?db=1", "must end with the service"),
        ("sentinel://s1:1;sentinel://s2:1/mymaster", "commas"),
        ("redis+sentinel://u:p@s@s1/mymaster", "encode it"),
        ("redis+sentinel://s1:x/mymaster", "port that is not a number"),
    ],
)
@pytest.mark.parametrize("setting", ["redis_url", "broker_url"])
def test_a_url_that_is_refused(setting: str, url: str, problem: str) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        Settings(**{setting: url})


def test_options_of_nobody_are_refused() -> None:
    with pytest.raises(InvalidSettings, match="option nonsense"):
        connect(Settings(redis_url="redis+sentinel://s1/mymaster/0?nonsense=1"))
    with pytest.raises(InvalidSettings, match="option nonsense"):
        Settings(broker_url="redis+sentinel://s1/mymaster/0?nonsense=1")
    with pytest.raises(InvalidSettings, match="unset redis_cluster"):
        connect(Settings(redis_url="redis+sentinel://s1/mymaster/0", redis_cluster=True))


def test_kombu_gets_what_it_needs() -> None:
    for made in (make_app(Settings(broker_url=URL)), make_publisher(Settings(broker_url=URL))):
        first, *_ = made.conf.broker_url.split(";")
        assert first == "sentinel://app:p%40ss@s1:7000/2"
        options = made.conf.broker_transport_options
        assert options["master_name"] == "like-store"
        assert options["sentinel_kwargs"]["username"] == "ask"
        assert options["sentinel_kwargs"]["ssl_ca_certs"] == "/a b.pem"
        assert options["sentinel_kwargs"]["socket_timeout"] == options["socket_timeout"]
        assert made.conf.broker_use_ssl["ssl_ca_certs"] == "/a b.pem"
        assert "p%40ss" not in made.conf.redbeat_redis_url


def test_whoever_inspects_a_worker_sees_no_password() -> None:
    app = make_app(Settings(broker_url=URL))
    shown = str(app.conf.table(censored=True))
    for secret in ("p%40ss", "p@ss", "s&t", "s%26t"):
        assert secret not in shown
