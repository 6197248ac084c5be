"""``celeryconfig.py``, as the applications of workers and publishers apply it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from celery import Celery, current_app
from pydantic import SecretStr
from redis import Redis

from reactions import tasks
from reactions.core.celery_app import DRAIN, make_app, make_publisher
from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings
from tests.tasks.lane import Tasks


@pytest.fixture
def settings() -> Settings:
    """No test connects."""
    return Settings(broker_url="redis://broker.example:6379/1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("task_acks_late", True),
        ("task_reject_on_worker_lost", True),
        ("task_acks_on_failure", True),
        ("task_acks_on_timeout", True),
        ("worker_prefetch_multiplier", 1),
        ("accept_content", ["json"]),
        ("task_serializer", "json"),
        ("event_serializer", "json"),
        ("task_ignore_result", True),
        ("result_backend", None),
        ("task_create_missing_queues", False),
        ("worker_send_task_events", True),
        ("task_send_sent_event", False),
        ("broker_connection_retry_on_startup", True),
        ("broker_connection_max_retries", None),
        ("beat_scheduler", "reactions.tasks.beat_scheduler:Scheduler"),
        ("redbeat_lock_timeout", 10),
        ("redbeat_redis_url", "redis://broker.example:6379/1"),
        ("timezone", "UTC"),
    ],
)
def test_a_setting_that_something_rests_on(settings: Settings, name: str, value: object) -> None:
    assert getattr(make_app(settings).conf, name) == value


def test_the_longest_wait_ends_before_the_broker_delivers_again(settings: Settings) -> None:
    conf = make_app(settings).conf
    (longest,) = [
        limit.le for limit in Settings.model_fields["retry_cap_s"].metadata if hasattr(limit, "le")
    ]
    visible = conf.broker_transport_options["visibility_timeout"]
    assert longest + conf.task_time_limit < visible
    assert conf.task_soft_time_limit < conf.task_time_limit
    make_app(settings.model_copy(update={"retry_cap_s": longest}))


def test_a_retry_that_the_broker_would_deliver_twice_is_refused(settings: Settings) -> None:
    """No valid setting is that long; an edited celeryconfig.py could make one so."""
    conf = make_app(settings).conf
    visible = conf.broker_transport_options["visibility_timeout"]
    too_long = visible - conf.task_time_limit
    with pytest.raises(InvalidSettings, match="visibility_timeout"):
        make_app(settings.model_copy(update={"retry_cap_s": too_long}))
    make_app(settings.model_copy(update={"retry_cap_s": too_long - 1}))


@pytest.mark.parametrize(
    ("task", "queue"), [("reactions.drain", "persistence"), ("reactions.sweep", "maintenance")]
)
def test_only_drains_wait_in_the_queue_of_durability(
    settings: Settings, task: str, queue: str
) -> None:
    """The sweep must not wait there: it finds what does not get through."""
    app = make_app(settings)
    assert app.amqp.router.route({}, task)["queue"].name == queue
    assert set(app.amqp.queues) == {"persistence", "maintenance"}


def test_what_runs_every_few_seconds_sends_no_events() -> None:
    """Flower keeps a bounded list of tasks, which these would fill."""
    often = {
        entry["task"]
        for entry in tasks.app.conf.beat_schedule.values()
        if isinstance(entry["schedule"], timedelta) and entry["schedule"] < timedelta(seconds=30)
    }
    silent = {
        name
        for name, task in tasks.app.tasks.items()
        if name.startswith("reactions.") and not task.send_events
    }
    assert often == silent != set()


def test_a_publisher_waits_for_nothing_for_long(settings: Settings) -> None:
    conf = make_publisher(settings).conf
    options: dict[str, Any] = conf.broker_transport_options
    assert conf.task_publish_retry is False
    assert conf.broker_connection_timeout <= 0.5
    assert options["socket_connect_timeout"] <= options["socket_timeout"] <= 0.5
    assert options["max_retries"] == 0
    assert "retry_on_timeout" not in options  # it would send a message twice


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ("allkeys-lru", True),
        ("allkeys-random", True),
        ("noeviction", False),
        ("volatile-lru", False),
    ],
)
def test_a_worker_says_when_redis_may_evict_what_is_pending(
    tasks: Tasks, caplog: pytest.LogCaptureFixture, policy: str, says: bool
) -> None:
    with Redis.from_url(tasks.settings.redis_url.get_secret_value()) as admin:
        before: Any = admin.config_get("maxmemory-policy")
        admin.config_set("maxmemory-policy", policy)
        try:
            tasks.app._check_eviction()
        finally:
            admin.config_set("maxmemory-policy", *before.values())
    critical = [found.message for found in caplog.records if found.levelname == "CRITICAL"]
    assert [policy in message for message in critical] == [True] * says


def test_on_rabbitmq_beat_keeps_its_lock_in_the_redis_of_the_data(settings: Settings) -> None:
    urls = {"broker_url": SecretStr("amqp://mq//"), "redis_url": SecretStr("rediss://u:p@data/3")}
    conf = make_app(settings.model_copy(update=urls)).conf
    assert conf.beat_scheduler == "reactions.tasks.beat_scheduler:Scheduler"
    assert conf.redbeat_redis_url == "rediss://data/3"
    assert conf.redbeat_redis_use_ssl["ssl_cert_reqs"] is ssl.CERT_REQUIRED
    options = conf.redbeat_redis_options
    assert (options["username"], options["password"]) == ("u", "p")
    assert not conf.broker_use_ssl


def test_beat_finds_the_nodes_of_a_cluster_and_reads_text(settings: Settings) -> None:
    """RedBeat's own way takes one node only, and fails at its second start: it reads bytes."""
    data = SecretStr("redis://u:p@n1:7001,n2:7002/0")
    urls = {"broker_url": SecretStr("amqp://mq//"), "redis_url": data, "redis_cluster": True}
    conf = make_app(settings.model_copy(update=urls)).conf
    assert conf.redbeat_redis_url == "redis://n1:7001/0"
    options = conf.redbeat_redis_options
    assert (options["cluster"], options["decode_responses"]) == (True, True)
    assert [(node.host, node.port) for node in options["startup_nodes"]] == [("n2", 7002)]


@pytest.mark.parametrize("make", [make_app, make_publisher])
def test_rabbitmq_confirms_messages_and_nobody_waits_without_end(
    settings: Settings, make: Callable[[Settings], Celery]
) -> None:
    rabbit = settings.model_copy(update={"broker_url": SecretStr("amqp://mq//")})
    options = make(rabbit).conf.broker_transport_options
    assert options["confirm_publish"] is True
    assert 0 < options["answer_timeout"] <= 5


def test_a_web_process_keeps_a_celery_application_of_its_own(settings: Settings) -> None:
    before = current_app._get_current_object()
    make_publisher(settings)
    assert current_app._get_current_object() is before


def test_no_other_application_of_the_process_gets_these_tasks(tasks: Tasks) -> None:
    """Celery shares tasks by default; an application may have its own Celery beside this one."""
    assert DRAIN in tasks.celery.tasks
    other = Celery("shop", set_as_current=False)
    other.finalize()
    assert not [name for name in other.tasks if name.startswith("reactions.")]
