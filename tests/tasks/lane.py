"""The lane: the project's application with a worker in a thread of the test process."""

from __future__ import annotations

import importlib
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
from celery import Celery, signals
from redis import Redis
from sqlalchemy import text

from reactions.core.settings import Settings
from tests.support.engine import Engine
from tests.support.waiting import wait_until

QUEUES = ("persistence", "maintenance")
ARGUMENTS = ("shards", "tokens", "force", "space")  # of a drain


@dataclass(frozen=True)
class Tasks:
    """The modules of ``reactions.tasks``, imported under an environment of their own."""

    settings: Settings
    app: ModuleType
    drain: ModuleType
    sweep: ModuleType

    @property
    def celery(self) -> Celery:
        return self.app.app


def import_tasks(settings: Settings) -> Tasks:
    """Import the modules anew, with these settings: they read the environment when imported.

    Other tests of the same process get modules of their own.
    """
    with pytest.MonkeyPatch.context() as patch:
        for name in _imported():
            patch.delitem(sys.modules, name)
        for variable, value in settings.environment().items():
            patch.setenv(variable, value)
        names = ("app", "drain", "sweep")
        modules = [importlib.import_module(f"reactions.tasks.{name}") for name in names]
        for name in _imported():
            del sys.modules[name]
    return Tasks(settings, *modules)


def _imported() -> list[str]:
    return [name for name in sys.modules if f"{name}.".startswith("reactions.tasks.")]


@dataclass(frozen=True)
class Run:
    """One execution of a task."""

    id: str
    task: str
    state: str
    kwargs: dict[str, Any]
    queue: str
    retries: int
    result: Any
    """The value that it returned, or the exception that ended it."""


@dataclass
class Lane:
    """Sends tasks and records their runs. Otherwise the engine has the stores to itself."""

    tasks: Tasks
    engine: Engine
    broker: Redis
    runs: list[Run] = field(default_factory=list)

    def send(self, *args: Any, task: str = "reactions.drain", **options: Any) -> str:
        """Publish a message; returns its id."""
        return str(self.tasks.celery.send_task(task, args, **options).id)

    def run(self, *args: Any, task: str = "reactions.drain", **options: Any) -> Run:
        """Publish a message and wait until it was executed at least once."""
        identity = str(uuid.uuid4())
        self.send(*args, task=task, task_id=identity, **options)
        wait_until(lambda: self.of(identity), what=f"{task}{args}")
        return self.of(identity)[-1]

    def of(self, identity: str) -> list[Run]:
        return [run for run in self.runs if run.id == identity]

    def drains(self) -> list[Run]:
        return [run for run in self.runs if run.task == "reactions.drain"]

    def idle(self) -> bool:
        """Whether no message waits, and the worker has none."""
        waiting = sum(self.broker.llen(queue) for queue in QUEUES)
        return not waiting and not self.broker.hlen("unacked")

    def settle(self) -> None:
        """Wait until all messages are done, including those that tasks sent."""
        wait_until(self.idle, what="the queues are empty")

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record each run of a task."""

        def ended(task_id: str, task: Any, retval: Any, state: str, **rest: Any) -> None:
            request = task.request
            queue = request.delivery_info["routing_key"]
            kwargs = dict(zip(ARGUMENTS, rest["args"], strict=False)) | rest["kwargs"]
            run = Run(task_id, task.name, state, kwargs, queue, request.retries, retval)
            self.runs.append(run)

        signals.task_postrun.connect(ended, weak=False)
        try:
            yield
        finally:
            signals.task_postrun.disconnect(ended)


def clean(engine: Engine) -> None:
    """Empty both stores, except the reaction types: a worker registers them once."""
    engine.client.flushdb()
    with engine.database.engine.begin() as connection:
        connection.execute(text("TRUNCATE reactions, reaction_counts, dead_letters"))
