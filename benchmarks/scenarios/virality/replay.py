"""Plays a trace through the real scripts and the real drain, on the clock of the trace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.demo.trace import Event
from reactions.drain.batch import Drained
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.redis.claims import Claim, Settled
from reactions.redis.connection import connect
from reactions.redis.outbox import Outbox
from reactions.redis.scripts.drain import SettledPost
from reactions.redis.writes import RedisWrites


class Listening(Outbox):
    """An outbox that keeps the replies of its last settlement."""

    def __init__(self, client: Any, settings: Settings) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(client, settings)
        self.answers: list[Settled] = []

    def settle(
        self,
        claims: Sequence[Claim],
        posts: Mapping[int, Sequence[SettledPost]],
        transaction: int = 0,
    ) -> list[Settled]:
        self.answers = super().settle(claims, posts, transaction)
        return self.answers


@dataclass(slots=True)
class Noted:
    """What the settlements reported, with times of the trace in s.

    Attributes:
        rising, viral: post -> when it was first flagged as rising, or became viral.
        flags: post -> each time it was flagged as rising.
        falls: how often a viral post became regular.
    """

    rising: dict[int, int] = field(default_factory=dict)
    viral: dict[int, int] = field(default_factory=dict)
    flags: dict[int, list[int]] = field(default_factory=dict)
    falls: int = 0
    rows: int = 0
    drains: int = 0


class Replay:
    """Plays events on the clock of the trace."""

    def __init__(self, settings: Settings, database: Database, step: int) -> None:
        client = connect(settings)
        self._writes = RedisWrites(client, settings)
        self._persister = Persister(client, database, settings)
        self._outbox = Listening(client, settings)
        self._persister._settler._outbox = self._outbox
        self._codes = settings.reaction_types
        self._step_us = step * 1_000_000
        self.noted = Noted()

    def play(self, end: int, events: Sequence[Event]) -> None:
        """Record the events of one step, and drain at its end (s)."""
        replies = self._writes.record_many(
            (event.user_id, event.post_id, self._codes[event.reaction] if event.reaction else 0)
            for event in events
        )
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        self._drain(end)

    def _drain(self, end: int) -> None:
        todo = list(range(SHARDS))
        while todo:
            claims, failed = self._outbox.claim(dict.fromkeys(todo, ""))
            if failed:
                raise RuntimeError(f"shards were not claimed: {failed}")
            if not claims:
                return
            done = Drained()
            batch = self._persister.record(claims, done)  # the lease uses the servers' clock
            for claim in claims:
                claim.claimed_at = end * 1_000_000
                for post in claim.posts:
                    post.since = claim.claimed_at - self._step_us
            todo = self._persister.settle(claims, batch, done)
            self._note(end, done)

    def _note(self, end: int, done: Drained) -> None:
        noted = self.noted
        noted.rows += done.rows
        noted.drains += 1
        for answer in self._outbox.answers:
            if answer.lost:
                raise RuntimeError("a lease was lost")
            for post in answer.rising:
                noted.rising.setdefault(post, end)
                noted.flags.setdefault(post, []).append(end)
            for post in answer.promoted:
                noted.viral.setdefault(post, end)
            noted.falls += len(answer.demoted)
