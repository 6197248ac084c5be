"""``reactions.redis.beat_store``; tests/tasks/test_sentinel_broker.py has it at work."""

from __future__ import annotations

from reactions.core.celery_app import make_app, schedule_url
from reactions.core.settings import Settings
from reactions.redis.beat_store import place_schedule

SENTINELS = "redis+sentinel://s1,s2/like-store"


def placed(**urls: str) -> object:
    settings = Settings(**urls)
    app = make_app(settings)
    place_schedule(app, schedule_url(settings))
    return getattr(app, "redbeat_redis", None)


def test_only_where_sentinels_know_it() -> None:
    assert placed(broker_url="redis://h", redis_url=SENTINELS) is None
    assert placed(broker_url=SENTINELS) is not None
    assert placed(broker_url="amqp://mq", redis_url=SENTINELS) is not None
