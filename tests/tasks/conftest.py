"""Fixtures: Celery as real processes (pytest-celery), and in a thread (celery.contrib.pytest).

Local processes replace the fixtures of pytest-celery that start Docker, and the configuration is
the project's. ``celery_setup``, its nodes and its clusters are stock. In the thread,
``celery_session_worker`` is stock and runs the project's application.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from celery import Celery
from pydantic import SecretStr
from pytest_celery import CeleryBrokerCluster, RedisTestBroker
from redis import Redis

from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER, make_engine
from tests.support.nodes import Beat, LocalContainer, LocalRedis, LocalWorker, running
from tests.support.servers import running_redis
from tests.support.waiting import patient
from tests.tasks.lane import Lane, Tasks, clean, import_tasks


@pytest.fixture
def default_redis_broker(tmp_path: Path) -> Iterator[LocalRedis]:
    with running(LocalRedis.container(tmp_path)) as container:
        yield LocalRedis(container)


@pytest.fixture
def celery_broker_cluster(celery_redis_broker: RedisTestBroker) -> CeleryBrokerCluster:
    """Redis alone: the stock fixture runs a test on each broker that the plugin knows."""
    return CeleryBrokerCluster(celery_redis_broker)


@pytest.fixture
def celery_backend_cluster() -> None:
    """None: the project has no result backend."""


@pytest.fixture
def settings(settings: Settings, default_redis_broker: LocalRedis) -> Settings:
    """With a running broker, and a sweep each second."""
    broker = {"broker_url": SecretStr(default_redis_broker.host_url), "sweep_interval_s": 1.0}
    return settings.model_copy(update=broker)


@pytest.fixture
def celery_setup_app(settings: Settings) -> Iterator[Celery]:
    """The project's application, in place of a blank one."""
    with make_app(settings) as app:
        yield app


@pytest.fixture
def default_worker_container_cls() -> type[LocalWorker]:
    return LocalWorker


@pytest.fixture
def default_worker_env(settings: Settings) -> dict[str, str]:
    return settings.environment()


@pytest.fixture
def default_worker_container(
    default_worker_container_cls: type[LocalWorker],
    default_worker_command: list[str],
    default_worker_env: dict[str, str],
    tmp_path: Path,
) -> Iterator[LocalWorker]:
    container = LocalWorker.container(tmp_path, default_worker_command, default_worker_env)
    with running(container):
        yield default_worker_container_cls(container)


@pytest.fixture
def start_beat(settings: Settings, tmp_path: Path) -> Iterator[Callable[[str], Beat]]:
    """Start a beat with this name. At the end, all beats are killed."""
    with ExitStack() as stack:

        def start(name: str = "beat") -> Beat:
            beat = Beat(name, tmp_path, settings)
            stack.enter_context(running(LocalContainer(beat)))
            return beat

        yield start


@pytest.fixture(scope="session")
def lane_settings(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres
) -> Iterator[Settings]:
    """Stores for the worker thread alone, which lives as long as the session."""
    with (
        own_database(postgres.url, "lane") as url,
        running_redis(tmp_path_factory.mktemp("lane"), "valkey") as server,
    ):
        yield Settings(
            redis_url=server.url,
            broker_url=server.url.removesuffix("/0") + "/1",
            database_url=url,
            lease_s=30,  # no lease lapses within a test, unless the test deletes it
            retry_base_s=0.05,
            retry_cap_s=0.2,
            **patient(),
            sweep_interval_s=60,  # longer than any test: only what a test ages is overdue
        )


@pytest.fixture(scope="session")
def tasks(lane_settings: Settings) -> Tasks:
    return import_tasks(lane_settings)


@pytest.fixture(scope="session")
def celery_session_app(tasks: Tasks) -> Celery:
    return tasks.celery


@pytest.fixture(scope="session")
def celery_worker_parameters() -> dict[str, object]:
    """The stock check waits for the result of a task, and there is no result backend."""
    return {"perform_ping_check": False}


@pytest.fixture
def lane(tasks: Tasks, celery_session_worker: object) -> Iterator[Lane]:
    """Clean stores and a worker. The engine's wake-ups are lost, so tests send the messages."""
    assert celery_session_worker
    settings = tasks.settings
    engine = make_engine(settings.model_copy(update={"broker_url": SecretStr(DEAD_BROKER)}))
    clean(engine)
    with Redis.from_url(settings.broker_url.get_secret_value()) as broker:
        lane = Lane(tasks, engine, broker)
        with lane.watching():
            yield lane
            lane.settle()  # otherwise a leftover message would drain the next test's data
    engine.close()
