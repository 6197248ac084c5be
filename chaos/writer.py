"""One web process of a chaos run: it reacts, reads what it wrote, and records every call.

``python -m chaos.writer HISTORY NUMBER SEED`` runs until SIGTERM, with settings from its
environment like any web process. Most of its users are its own; it shares some with all writers.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from pathlib import Path

from chaos import small
from chaos.history import Fate, Kind, Recorder
from reactions.api.client import Reactions
from reactions.core.errors import BatchInterrupted, PostDeleted, ReactionsUnavailable
from reactions.core.model import Outcome

POSTS = range(1, 81)
"""Posts, the most popular first. Some share a shard with a post that may be deleted."""

DELETABLE = range(1_001, 2_001)
"""Posts that may be deleted; each writer reacts on one of them at a time."""

SHARED = range(1, 31)
"""Users of all writers."""

OWN = 60
"""Number of users of one writer alone."""

PAUSE_S = 0.005
"""Pause between two calls, so that workers get enough of the processors."""

FORGET_SHARE = DELETE_SHARE = 0.0005


class Writer:
    """One writer. Its seed decides what it does; the machine decides when."""

    def __init__(self, client: Reactions, recorder: Recorder, number: int, seed: int) -> None:
        self._client = client
        self._recorder = recorder
        self._random = random.Random(f"{seed}/{number}")
        self._types = list(client.settings.reaction_types)
        # Each start has users of its own: a killed writer has left an open call.
        self._next_user = 1_000 + number * 10_000
        self._own = [self._fresh() for _ in range(OWN)]
        self._deletable = DELETABLE.start + number % len(DELETABLE)
        self._weights = [1 / rank for rank in range(1, len(POSTS) + 1)]
        self._last = (self._own[0], POSTS[0])
        self.stopping = False

    def run(self) -> None:
        """Make calls until ``stopping`` is set."""
        while not self.stopping:
            luck = self._random.random()
            if luck < FORGET_SHARE:
                self._forget()
            elif luck < FORGET_SHARE + DELETE_SHARE:
                self._delete()
            elif luck < 0.65:
                self._write_one()
            elif luck < 0.70:
                self._write_many()
            else:
                self._read()
            time.sleep(PAUSE_S)

    # -- calls ---------------------------------------------------------------------------------

    def _write_one(self) -> None:
        user, post, value = self._choice()
        number = self._recorder.begin(Kind.WRITE, user, post, value)
        try:
            if value is None:
                outcome = self._client.unreact(user, post)
            else:
                outcome = self._client.react(user, post, value)
        except PostDeleted:
            self._recorder.end(number, Fate.REFUSED)
        except ReactionsUnavailable:
            self._recorder.end(number, Fate.OPEN)
        else:
            self._done(number, outcome)

    def _write_many(self) -> None:
        """React in a batch. It has each (user, post) once, so the order in it does not matter."""
        chosen = {(c[0], c[1]): c for c in (self._choice() for _ in range(10))}
        items = list(chosen.values())
        numbers = [
            self._recorder.begin(Kind.WRITE, user, post, value)
            for user, post, value in chosen.values()
        ]
        outcomes: list[Outcome | None] = [None] * len(items)
        missing = Fate.OPEN
        try:
            outcomes = list(self._client.react_many(items))
        except PostDeleted as error:
            outcomes, missing = list(error.outcomes), Fate.REFUSED
        except BatchInterrupted as error:
            outcomes = list(error.outcomes)
        except ReactionsUnavailable:
            pass
        for number, outcome in zip(numbers, outcomes, strict=True):
            if outcome is None:
                self._recorder.end(number, missing)
            else:
                self._done(number, outcome)

    def _read(self) -> None:
        """Read a reaction, mostly the one that it wrote last."""
        user, post = self._last
        if self._random.random() < 0.3:
            user, post = self._random.choice([*self._own, *SHARED]), self._post()
        number = self._recorder.begin(Kind.READ, user, post, None)
        try:
            found = self._client.reaction_of(user, post)
        except ReactionsUnavailable:
            self._recorder.end(number, Fate.OPEN)
        else:
            self._recorder.end(number, value=found)

    def _forget(self) -> None:
        """Forget one of its own users; another user takes the place."""
        place = self._random.randrange(OWN)
        user, self._own[place] = self._own[place], self._fresh()
        if self._last[0] == user:
            self._last = (self._own[place], POSTS[0])
        number = self._recorder.begin(Kind.FORGET, user, 0, None)
        try:
            self._client.forget_user(user)
        except ReactionsUnavailable:
            self._recorder.end(number, Fate.OPEN)
        else:
            self._recorder.end(number)

    def _delete(self) -> None:
        """Delete the post of DELETABLE; mostly, another post takes its place."""
        post = self._deletable
        number = self._recorder.begin(Kind.DELETE, 0, post, None)
        try:
            self._client.delete_post(post)
        except ReactionsUnavailable:
            self._recorder.end(number, Fate.OPEN)
        else:
            self._recorder.end(number)
            if self._random.random() < 0.5:  # else it tries in vain to react on the deleted post
                self._deletable = self._random.choice(DELETABLE)

    # -- random choices ------------------------------------------------------------------------

    def _choice(self) -> tuple[int, int, str | None]:
        """A user, a post, and a value."""
        own = self._random.random() < 0.85
        user = self._random.choice(self._own if own else SHARED)
        post = self._deletable if self._random.random() < 0.05 else self._post()
        value = None if self._random.random() < 0.2 else self._random.choice(self._types)
        if own and post in POSTS:
            self._last = (user, post)
        return user, post, value

    def _post(self) -> int:
        return self._random.choices(POSTS, self._weights)[0]

    def _fresh(self) -> int:
        self._next_user += 1
        return self._next_user

    def _done(self, number: int, outcome: Outcome) -> None:
        self._recorder.end(
            number,
            status=outcome.status.value,
            previous=outcome.previous,
            version=outcome.version,
        )


def main() -> None:
    path, number, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    small.apply()
    with Reactions() as client, Recorder(path) as recorder:
        writer = Writer(client, recorder, number, seed)

        def stop(*_: object) -> None:
            writer.stopping = True

        signal.signal(signal.SIGTERM, stop)
        writer.run()


if __name__ == "__main__":
    main()
