"""Celery: the retry schedule, the broker, beat, and a worker for each queue."""

from __future__ import annotations

from contextlib import closing

from celery import Celery
from redbeat.schedulers import RedBeatConfig, get_redis
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from reactions.core.celery_app import make_app, make_publisher, schedule_url
from reactions.core.errors import InvalidSettings, ReactionsError, short
from reactions.core.settings import Settings
from reactions.core.urls import REDIS_SCHEMES
from reactions.ops.doctor.findings import Finding, Findings, State, guarded, unknown, unreachable
from reactions.ops.doctor.rabbitmq import check_rabbitmq
from reactions.ops.doctor.redis import check_server
from reactions.ops.doctor.sentinel import check_sentinels
from reactions.redis.advice import BROKER_CLUSTER_ADVICE, advice
from reactions.redis.beat_store import place_schedule
from reactions.redis.connection import translated
from reactions.redis.sentinel import make_pool
from reactions.redis.server_role import check_kind

ANSWER_S = 2.0
"""How long the broker and the workers have to answer, in seconds."""

CONSUMER_TIMEOUT_S = 1_800.0
"""RabbitMQ delivers again what a worker has held for so long, by default."""


def check_retry_schedule(settings: Settings) -> Findings:
    """Check that the broker delivers no retry twice; no worker starts with such settings."""
    try:
        config = make_app(settings).conf
    except InvalidSettings as error:
        yield Finding("retry schedule", State.FAILURE, str(error), "lower REACTIONS_RETRY_CAP_S")
        return
    longest_s = settings.retry_cap_s + config.task_time_limit
    timeout_s = config.broker_transport_options.get("visibility_timeout", CONSUMER_TIMEOUT_S)
    found = f"at most {longest_s:g} s, and the broker delivers again after {timeout_s:g} s"
    yield Finding("retry schedule", State.OK, found)


def check_broker(settings: Settings) -> Findings:
    """Check the broker and, if it answers, beat and the workers."""
    url = settings.broker_url.get_secret_value()
    yield from check_sentinels("broker", url)
    try:
        app = make_publisher(settings)
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_S)
            found = list(check_rabbitmq(connection, app))
    except Exception as error:  # noqa: BLE001 - each transport has errors of its own
        remedy = advice(error, "REACTIONS_BROKER_URL") or "start it, or set REACTIONS_BROKER_URL"
        yield unreachable("broker", error, remedy)
        return
    yield from found
    if url.startswith(REDIS_SCHEMES):
        waits = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
        with Redis.from_pool(make_pool(url, **waits)) as node:
            try:
                with translated():
                    check_kind(node, "broker_url", BROKER_CLUSTER_ADVICE)
            except ReactionsError as error:
                yield unreachable("broker", error, "start it, or set REACTIONS_BROKER_URL")
                return
            yield from check_server("broker", node)
    yield from check_beat(settings)
    yield from check_workers(make_app(settings))


def check_beat(settings: Settings) -> Findings:
    """Check that some beat is at work. It needs the server that has beat's lock, and no other."""
    yield from guarded("beat", lambda: _beat(settings))


def _beat(settings: Settings) -> Findings:
    """Beat holds RedBeat's lock, which expires ten seconds after beat's last tick."""
    app = make_app(settings)
    app.conf.redbeat_redis_options |= {
        "retry": Retry(NoBackoff(), 0),
        "socket_timeout": ANSWER_S,
        "socket_connect_timeout": ANSWER_S,
    }
    place_schedule(app, schedule_url(settings))
    with translated(), closing(get_redis(app)) as node:
        held = node.get(RedBeatConfig(app).lock_key)
    if held is not None:
        yield Finding("beat", State.OK, "holds its lock")
    else:
        found = "nobody holds beat's lock, so no duty runs"
        remedy = "run under a supervisor: celery -A reactions.tasks beat"
        yield Finding("beat", State.FAILURE, found, remedy)


def check_workers(app: Celery) -> Findings:
    """Each queue needs a worker that consumes it."""
    try:
        answers = app.control.inspect(timeout=ANSWER_S).active_queues() or {}
    except Exception as error:  # noqa: BLE001 - each transport has errors of its own
        yield unknown("workers", error, "fix the broker, then run the doctor again")
        return
    for queue in (queue.name for queue in app.conf.task_queues):
        workers = sorted(name for name, queues in answers.items() if queue in _names(queues))
        if workers:
            found = f"{len(workers)} consuming: {short(', '.join(workers), 200)}"
            yield Finding(f"queue {queue}", State.OK, found)
        else:
            found = f"no worker that consumes it answered within {ANSWER_S:g} s"
            remedy = f"run under a supervisor: celery -A reactions.tasks worker -Q {queue}"
            yield Finding(f"queue {queue}", State.FAILURE, found, remedy)


def _names(queues: object) -> set[object]:
    """Names of the queues in a worker's answer, which may be anything: do not trust its shape."""
    answer = queues if isinstance(queues, list) else []
    return {queue.get("name") for queue in answer if isinstance(queue, dict)}
