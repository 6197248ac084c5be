"""PostgreSQL stops while reactions flow. The test starts a server of its own for that."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pytest_celery import CeleryTestSetup

from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres
from reactions.postgres.migrate import migrate
from tests.support.engine import Engine
from tests.support.nodes import Beat
from tests.support.servers import running_postgres
from tests.support.waiting import wait_until
from tests.tasks.flow import Flow, assert_durable

pytestmark = pytest.mark.slow


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    with running_postgres(18, durable=True) as server:
        migrate(Settings(database_url=server.url))
        yield server


@pytest.fixture
def database_url(own_postgres: Postgres) -> str:
    return own_postgres.url


def test_reactions_outlast_an_outage_of_the_database(
    celery_setup: CeleryTestSetup,
    engine: Engine,
    own_postgres: Postgres,
    start_beat: Callable[[str], Beat],
) -> None:
    start_beat("beat")  # changes that follow a failed claim wait for a wake-up or a sweep
    with Flow(engine.reactions) as flow:
        flow.wait(200)
        wait_until(lambda: engine.posts.page(0, 1), what="the first row")
        own_postgres.stop()
        pending = engine.outbox_state.pending()
        flow.wait(300)  # react() does not notice
        assert engine.outbox_state.pending() > pending
        celery_setup.worker.wait_for_log("Retry in")
        own_postgres.start()
        flow.wait(100)
    assert_durable(engine, flow)
