"""Beat goes on when the clock of its host was ahead, and is set back."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from celery import Celery
from pydantic import SecretStr

from reactions.core.celery_app import make_app
from reactions.core.settings import Settings
from reactions.tasks.beat_scheduler import Scheduler

HOUR = timedelta(hours=1)


@pytest.fixture
def app(redis_url: str) -> Celery:
    """The schedule of Beat, in a broker of its own."""
    made = make_app(Settings(broker_url=SecretStr(redis_url)))
    assert made.conf.beat_scheduler.endswith("beat_scheduler:Scheduler")
    return made


def beat(app: Celery) -> Any:
    """A scheduler that needs no lock."""
    scheduler = Scheduler(app)
    scheduler.lock_key = None
    return scheduler


def send_in_the_future(scheduler: Any) -> None:
    """Note every duty as sent while the clock was an hour ahead."""
    for name in scheduler.app.conf.beat_schedule:
        key = scheduler.Entry.generate_key(scheduler.app, name)
        scheduler.Entry.from_key(key, app=scheduler.app).reschedule(scheduler.app.now() + HOUR)


def test_a_beat_that_starts_after_the_clock_was_set_back_sends_every_duty(app: Celery) -> None:
    send_in_the_future(beat(app))
    due = beat(app).schedule
    assert due.keys() == app.conf.beat_schedule.keys()
    assert all(entry.is_due()[0] for entry in due.values())


def test_a_running_beat_notices_that_the_clock_was_set_back(app: Celery) -> None:
    scheduler = beat(app)
    send_in_the_future(scheduler)
    scheduler.tick()
    assert not scheduler.schedule
    scheduler._offset += HOUR.total_seconds()
    scheduler.tick()
    for name in app.conf.beat_schedule:
        key = scheduler.Entry.generate_key(app, name)
        assert scheduler.Entry.from_key(key, app=app).last_run_at <= app.now()
