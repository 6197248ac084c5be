"""The Celery application without its tasks: what publishers and workers agree on."""

from __future__ import annotations

import importlib.util
import ssl
from types import ModuleType
from typing import Any
from urllib.parse import unquote

from celery import Celery
from kombu.utils.url import parse_url
from redis.backoff import ConstantBackoff
from redis.cluster import ClusterNode
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from reactions.core import rabbitmq, resources
from reactions.core.errors import InvalidSettings
from reactions.core.sentinel_url import is_sentinel, parse_sentinel
from reactions.core.settings import Settings
from reactions.core.urls import REDIS_SCHEMES, divide

DRAIN = "reactions.drain"
"""Name of the task that drains shards; its arguments are ``shards``, and ``tokens`` on a retry."""

LOAD = "reactions.load"
"""Name of the task that loads posts into the cache; its argument is ``posts``."""


_LOST = (RedisConnectionError, RedisTimeoutError, ReadOnlyError, MasterDownError)


def make_app(settings: Settings) -> Celery:
    """Make the application that workers, beat and Flower use.

    Raises:
        InvalidSettings: the retry schedule does not fit the broker's visibility timeout.
    """
    config = _config()
    longest = settings.retry_cap_s + config.task_time_limit
    if longest >= config.visibility_timeout:
        raise InvalidSettings(
            f"retry_cap_s + task_time_limit is {longest} s, which must stay below the broker's "
            f"visibility_timeout of {config.visibility_timeout} s; otherwise the broker delivers"
            " retries twice"
        )
    app = Celery("reactions", set_as_current=False, amqp=rabbitmq.AMQP)
    app.config_from_object(config)
    url = settings.broker_url.get_secret_value()
    named = parse_sentinel(url) if is_sentinel(url) else None
    server = named.server if named else url
    app.conf.broker_url = named.broker_url if named else url
    app.conf.broker_transport_options = _transport_options(
        url, config.broker_transport_options, config.rabbitmq_transport_options
    )
    if url.startswith(rabbitmq.SCHEMES):
        app.conf.task_queues = rabbitmq.quorum_queues(config.task_queues)
    elif server.startswith("rediss://"):
        # By default kombu does not verify the server. Flower reads only this setting.
        app.conf.broker_use_ssl = _verified(server)
    _place_schedule(app, settings, config.broker_transport_options["socket_timeout"])
    return app


def schedule_url(settings: Settings) -> str:
    """The Redis where beat keeps its lock and its schedule: the broker or, if that is none, the
    Redis of the data."""
    broker = settings.broker_url.get_secret_value()
    is_redis = broker.startswith(REDIS_SCHEMES)
    return broker if is_redis else settings.redis_url.get_secret_value()


def _place_schedule(app: Celery, settings: Settings, timeout_s: float) -> None:
    """Tell RedBeat where its Redis is; ``reactions.redis.beat_store`` does if Sentinels know it.

    The retries outlast a short absence of the server, and a switch-over: each goes over a new
    connection, to the server that the address leads to by then. After redbeat_lock_timeout beat has
    lost its lock and exits; its supervisor starts it again. The credentials are apart because
    Celery shows the URL to anyone who inspects a worker.
    """
    url = schedule_url(settings)
    options: dict[str, Any] = {}
    if is_sentinel(url):
        url = parse_sentinel(url).server
    elif settings.redis_cluster and url == settings.redis_url.get_secret_value():
        url, others = divide(url)
        nodes = [ClusterNode(host, port) for host, port in others]  # type: ignore[no-untyped-call]
        # RedBeat reads text, and asks for it everywhere but on a cluster.
        options |= {"cluster": True, "decode_responses": True, "startup_nodes": nodes}
        app.conf.redbeat_key_prefix = "{redbeat}:"  # one slot has all of RedBeat's keys
    address, credentials = _without_credentials(url)
    app.conf.redbeat_redis_url = address
    app.conf.redbeat_redis_options = {
        "retry": Retry(ConstantBackoff(0.5), 20, supported_errors=_LOST),
        "socket_timeout": timeout_s,
        **options,
        **credentials,
    }
    if url.startswith("rediss://"):
        app.conf.redbeat_redis_use_ssl = _verified(url)


def _transport_options(
    url: str, on_redis: dict[str, Any], on_rabbitmq: dict[str, Any]
) -> dict[str, Any]:
    if url.startswith(rabbitmq.SCHEMES):
        return on_rabbitmq
    if not is_sentinel(url):
        return on_redis
    named = parse_sentinel(url)
    sentinels: dict[str, Any] = {"username": named.username, "password": named.password}
    sentinels = {name: value for name, value in sentinels.items() if value}
    for wait in ("socket_timeout", "socket_connect_timeout"):
        sentinels[wait] = on_redis[wait]
    if named.tls:
        sentinels |= {"ssl": True, **_verified(named.server)}
    return {**on_redis, "master_name": named.service, "sentinel_kwargs": sentinels}


def _verified(url: str) -> dict[str, Any]:
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **parse_url(url).get("ssl", {})}


def make_publisher(settings: Settings) -> Celery:
    """Make the application that a web process uses: short waits, no retries, one connection."""
    app = make_app(settings)
    config = _config()
    app.conf.update(config.publisher)
    app.conf.broker_transport_options = _transport_options(
        settings.broker_url.get_secret_value(),
        config.publisher["broker_transport_options"],
        config.rabbitmq_publisher_options,
    )
    return app


def _without_credentials(url: str) -> tuple[str, dict[str, str]]:
    """Split a Redis URL into one without user and password, and these as arguments of redis-py."""
    scheme, _, rest = url.partition("://")
    given, at, server = rest.rpartition("@")
    if not at:
        return url, {}
    username, _, password = map(unquote, given.partition(":"))
    found = {"username": username, "password": password}
    return f"{scheme}://{server}", {name: value for name, value in found.items() if value}


def _config() -> ModuleType:
    """Import ``celeryconfig.py`` from the root of a checkout, or from the wheel."""
    path = resources.root_file("celeryconfig.py")
    spec = importlib.util.spec_from_file_location("reactions_celeryconfig", path)
    if spec is None or spec.loader is None:  # pragma: no cover - the file is part of the package
        raise InvalidSettings(f"{path} is missing from this installation")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
