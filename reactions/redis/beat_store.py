"""The Redis of RedBeat, if Sentinels know its address."""

from __future__ import annotations

from typing import Any

from redis import Redis

from reactions.core.sentinel_url import is_sentinel
from reactions.redis.sentinel import make_pool


def place_schedule(app: Any, url: str) -> None:  # noqa: ANN401 - a Celery application
    """Give RedBeat a client that follows the primary. It does not connect yet.

    RedBeat's own client for Sentinels does not try again, so each failover would end beat.

    Args:
        app: of ``make_app``.
        url: of ``schedule_url``.
    """
    if is_sentinel(url):
        options: dict[str, Any] = dict(app.conf.redbeat_redis_options)
        app.redbeat_redis = Redis.from_pool(make_pool(url, decode_responses=True, **options))
