"""The engine with real Celery processes: reactions of users become rows in PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from pydantic import SecretStr
from pytest_celery import CeleryTestSetup, CeleryTestWorker

from reactions.api.client import Reactions
from reactions.core.model import Status
from reactions.core.settings import Settings
from reactions.redis.keys import default_keys as keys
from tests.support.engine import DEAD_BROKER, Engine
from tests.support.nodes import Beat
from tests.support.waiting import patience, wait_until
from tests.tasks.flow import Flow, assert_durable

pytestmark = pytest.mark.slow

POST = 1042

StartBeat = Callable[[str], Beat]


@pytest.fixture
def unheard(settings: Settings) -> Iterator[Reactions]:
    """A client whose wake-ups never arrive."""
    dead = settings.model_copy(update={"broker_url": SecretStr(DEAD_BROKER)})
    with Reactions(dead) as client:
        yield client


def assert_swept(
    engine: Engine, unheard: Reactions, user: int, ready: Callable[[], bool] = lambda: True
) -> None:
    """A reaction without a wake-up becomes durable, so the sweep works."""
    unheard.react(user, POST, "like")
    wait_until(lambda: ready() and user in engine.queries.reactions([POST])[POST], 30, "the sweep")
    wait_until(lambda: engine.outbox_state.pending() == 0, what="the drain has settled")
    assert engine.verify().holds


def supervise(worker: CeleryTestWorker, beat: Beat) -> bool:
    """Restart what ended, as systemd or Kubernetes do. True once the worker is back.

    Without a broker, kombu 5.7 ends a worker that has an unacknowledged message: it tries to return
    the message on the lost connection. RedBeat 2.4 ends when it cannot extend its lock.
    """
    if worker.container.status == "exited":
        worker.restart()
    if not beat.alive():
        beat.start()
    return bool(worker.logs().count("Connected to") > 1)


def test_the_worker_answers_and_is_the_projects(celery_setup: CeleryTestSetup) -> None:
    assert celery_setup.ready(control=True, docker=True)
    assert (len(celery_setup), celery_setup.backend) == (2, None)
    name = celery_setup.worker.hostname()
    control = celery_setup.app.control
    assert control.ping(destination=[name], timeout=patience(5)) == [{name: {"ok": "pong"}}]
    inspect = control.inspect([name], timeout=patience(5))
    assert {"reactions.drain", "reactions.sweep"} <= set(inspect.registered()[name])
    queues = {queue["name"] for queue in inspect.active_queues()[name]}
    assert queues == {"persistence", "maintenance"}
    processes = celery_setup.worker.get_running_processes_info(["cmdline"])
    assert any(f"--hostname={name}" in (process["cmdline"] or []) for process in processes)


@pytest.mark.usefixtures("celery_setup")
def test_a_reaction_becomes_durable(engine: Engine) -> None:
    client = engine.reactions
    assert client.react(1, POST, "like").status in (Status.CREATED, Status.ACCEPTED)
    client.react(2, POST, "love")
    client.react(2, POST, "wow")
    client.react(3, POST, "sad")
    client.unreact(3, POST)
    wait_until(lambda: engine.outbox_state.pending() == 0, what="the wake-up has been answered")
    assert engine.queries.reactions([POST]) == {POST: {1: 1, 2: 4}}
    assert client.counts(POST) == {**dict.fromkeys(client.counts(POST), 0), "like": 1, "wow": 1}
    assert engine.verify().holds
    # The settlement released the lease, so the next drain does not wait until it lapses.
    assert not engine.client.exists(keys.outbox_lease(42))


def test_a_worker_killed_under_flow_loses_nothing(
    celery_setup: CeleryTestSetup, engine: Engine, start_beat: StartBeat
) -> None:
    worker = celery_setup.worker
    start_beat("beat")  # a killed worker loses messages; the sweep finds their shards
    with Flow(engine.reactions) as flow:
        for _ in range(2):
            flow.wait(200)
            worker.kill()
            assert worker.container.status == "exited"
            flow.wait(100)
            assert engine.outbox_state.pending() > 0
            worker.restart()
        flow.wait(100)
    assert_durable(engine, flow)


def test_a_broker_restarted_under_flow_loses_nothing(
    celery_setup: CeleryTestSetup, engine: Engine, start_beat: StartBeat, unheard: Reactions
) -> None:
    worker, beat = celery_setup.worker, start_beat("beat")

    def ready() -> bool:
        return supervise(worker, beat)

    with Flow(engine.reactions) as flow:
        flow.wait(200)
        celery_setup.broker.restart()
        flow.wait(200)
    wait_until(lambda: ready() and engine.outbox_state.pending() == 0, 30, "everything is durable")
    assert_durable(engine, flow)
    assert_swept(engine, unheard, 1, ready)
    assert celery_setup.ready(control=True)


@pytest.mark.usefixtures("celery_setup")
def test_a_wake_up_that_never_came_is_swept(
    engine: Engine, start_beat: StartBeat, unheard: Reactions
) -> None:
    for user in range(1, 21):
        unheard.react(user, POST + user, "like")
    wait_until(lambda: unheard.relay_stats().failed, what="the broker was tried")
    start_beat("beat")
    wait_until(lambda: engine.outbox_state.pending() == 0, what="the sweep")
    rows = engine.queries.reactions(range(POST + 1, POST + 21))
    assert rows == {POST + user: {user: 1} for user in range(1, 21)}
    assert engine.verify().holds


@pytest.mark.usefixtures("celery_setup")
def test_of_two_beats_one_leads_and_the_other_takes_over(
    engine: Engine, start_beat: StartBeat, unheard: Reactions
) -> None:
    leader, standby = start_beat("beat-1"), start_beat("beat-2")
    wait_until(lambda: leader.leads() or standby.leads(), what="a leader")
    if standby.leads():
        leader, standby = standby, leader
    assert_swept(engine, unheard, user=1)
    assert leader.sweeps()
    assert not standby.leads()
    assert not standby.sweeps()
    leader.kill()
    assert_swept(engine, unheard, user=2)
    assert standby.leads()
    assert engine.queries.counts([POST]) == {POST: {1: 2}}
