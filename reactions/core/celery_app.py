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
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from reactions.core import rabbitmq, resources
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from reactions.core.urls import REDIS_SCHEMES

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
    app.conf.broker_url = url
    if url.startswith(rabbitmq.SCHEMES):
        app.conf.task_queues = rabbitmq.quorum_queues(config.task_queues)
        app.conf.broker_transport_options = config.rabbitmq_transport_options
    elif url.startswith("rediss://"):
        # By default kombu does not verify the server. Flower reads only this setting.
        app.conf.broker_use_ssl = _verified(url)
    _place_schedule(app, settings, config.broker_transport_options["socket_timeout"])
    return app


def _place_schedule(app: Celery, settings: Settings, timeout_s: float) -> None:
    """Have beat keep its lock and its schedule in the broker or, if that is no Redis, in Redis.

    The retries outlast a short absence of the server, and a switch-over: each goes over a new
    connection, to the server that the address leads to by then. After redbeat_lock_timeout beat has
    lost its lock and exits; its supervisor starts it again. The credentials are apart because
    Celery shows the URL to anyone who inspects a worker.
    """
    url = settings.broker_url.get_secret_value()
    options: dict[str, Any] = {}
    if not url.startswith(REDIS_SCHEMES):
        url = settings.redis_url.get_secret_value()
        if settings.redis_cluster:  # one slot has all of RedBeat's keys
            options["cluster"] = True
            app.conf.redbeat_key_prefix = "{redbeat}:"
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


def _verified(url: str) -> dict[str, Any]:
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **parse_url(url).get("ssl", {})}


def make_publisher(settings: Settings) -> Celery:
    """Make the application that a web process uses: short waits, no retries, one connection."""
    app = make_app(settings)
    config = _config()
    app.conf.update(config.publisher)
    if settings.broker_url.get_secret_value().startswith(rabbitmq.SCHEMES):
        app.conf.broker_transport_options = config.rabbitmq_publisher_options
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
