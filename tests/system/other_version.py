"""Runs as a process of another version, whose tree is in PYTHONPATH: does what its input says.

A line of the input is ``[name, argument, ...]`` as JSON; a line of the output is the answer. The
file uses only what both versions have.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import ExitStack
from typing import Any

from celery.contrib.testing.worker import start_worker

import reactions
from reactions.core.settings import Settings
from reactions.drain.persister import Persister
from reactions.maintenance.verify import Verifier
from reactions.postgres.database import Database
from reactions.redis.connection import connect
from reactions.redis.outbox import Outbox


class Version:
    """What the test asks a version to do."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._redis, self._database = connect(settings), Database(settings)
        self._client = reactions.Reactions(settings)
        self._persister = Persister(self._redis, self._database, settings)
        self._working = ExitStack()

    def where(self) -> str:
        """The file of the package, which shows the version."""
        return str(reactions.__file__)

    def react(self, user: int, post: int, reaction: str | None) -> str:
        """Set or remove a reaction."""
        if reaction is None:
            return str(self._client.unreact(user, post).status)
        return str(self._client.react(user, post, reaction).status)

    def feed(self, user: int, posts: list[int]) -> list[str | None]:
        """The user's own reactions, as a feed shows them."""
        return [found.reaction for found in self._client.summaries(posts, user)]

    def counts(self, post: int) -> dict[str, int]:
        """The counts that are not 0."""
        return {name: count for name, count in self._client.counts(post).items() if count}

    def drain(self) -> None:
        """Drain once, as a task does."""
        self._persister.drain(range(100))

    def die_draining(self) -> None:
        """Record a claim and settle nothing, as a worker that is killed."""
        from reactions.drain.batch import Drained

        claims, _ = Outbox(self._redis, self._settings).claim(dict.fromkeys(range(100), ""))
        if claims:
            self._persister.record(claims, Drained())

    def verify(self) -> bool:
        """Whether the stores agree."""
        return Verifier(self._redis, self._database, self._settings).verify().holds

    def start_worker(self) -> None:
        """Run a worker of this version in a thread."""
        from reactions.tasks import app

        running = start_worker(app, pool="solo", perform_ping_check=False)
        self._working.enter_context(running)

    def stop_worker(self) -> None:
        """Let the worker finish its task, and end it."""
        self._working.close()


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what else is printed must not be taken for an answer
    version = Version(Settings.from_env())
    for line in sys.stdin:
        name, *arguments = json.loads(line)
        call: Any = getattr(version, name)
        answers.write(json.dumps(call(*arguments)) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
