"""What the tests of erasures share: steps of an erasure, and checks that nothing is left."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from sqlalchemy import text

from reactions.core.constants import shard_of
from reactions.drain.batch import Batch, Drained
from reactions.maintenance.erase import Eraser
from reactions.redis.claims import Claim
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine

POST, OTHER = 1042, 1142
SHARD = 42
USER, FELLOW = 7, 8
BATCH = 7
POSTS = range(1, 41)


def react(
    engine: Engine, post_id: int, users: Iterable[int], reaction: str | None = "like"
) -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in users)


def rows_of(engine: Engine, where: str, **values: int) -> list[tuple[int, int, int]]:
    """(post, user, code), tombstones included."""
    statement = f"SELECT post_id, user_id, reaction FROM reactions WHERE {where} ORDER BY 1, 2"  # noqa: S608
    with engine.database.engine.connect() as connection:
        return [(p, u, c) for p, u, c in connection.execute(text(statement), values)]


def check_counts(engine: Engine) -> None:
    """Check that the counts table agrees with the rows, tombstones included."""
    with engine.database.engine.connect() as connection:
        wrong = connection.execute(
            text(
                "SELECT post_id, reaction, r.rows, c.count FROM "
                "(SELECT post_id, reaction, count(*) AS rows FROM reactions GROUP BY 1, 2) AS r "
                "FULL JOIN reaction_counts AS c USING (post_id, reaction) "
                "WHERE coalesce(r.rows, 0) <> coalesce(c.count, 0)"
            )
        ).all()
    assert wrong == []


def keys_of(engine: Engine, pattern: str) -> set[str]:
    return {key.decode() for key in engine.client.scan_iter(pattern, count=10_000)}


def finish(engine: Engine) -> None:
    """Erase and drain, as the tasks do, until no erasure is left."""
    for _ in range(200):
        if not any(engine.erasure_requests.unfinished()):
            engine.drain()
            return
        engine.eraser.erase()
        engine.drain()
    pytest.fail("the erasure does not end")


def lapse(engine: Engine) -> None:
    """Let all leases lapse, as if each drain had died or stalled."""
    for shard in range(100):
        engine.client.delete(keys.outbox_lease(shard))


def check_post_is_gone(engine: Engine, post_id: int = POST) -> None:
    assert rows_of(engine, "post_id = :post", post=post_id) == []
    with engine.database.engine.connect() as connection:
        counts = text("SELECT count(*) FROM reaction_counts WHERE post_id = :post")
        assert connection.execute(counts, {"post": post_id}).scalar_one() == 0
    # Reads write the summary of a deleted post: it says no more than that.
    assert keys_of(engine, f"post:*:{post_id}:*") <= {keys.post_summary(post_id)}
    assert engine.client.get(keys.post_summary(post_id)) in {None, b"2,"}
    shard = shard_of(post_id)
    assert engine.client.sismember(keys.outbox_deleted(shard), str(post_id))
    assert engine.erasure_requests.unfinished() == ([], {})
    assert engine.outbox_state.pending() == 0
    check_counts(engine)


def populate(engine: Engine) -> dict[int, dict[int, int]]:
    """Make posts of all tiers. Returns post -> user -> code, without the user to forget."""
    play = random.Random(1)  # noqa: S311 - not for secrecy
    names = list(engine.settings.reaction_types)
    others: dict[int, dict[int, int]] = {}
    for post in POSTS:
        users = range(10, 10 + play.choice([0, 1, 3, 8, 20]))
        items = [(user, post, play.choice(names)) for user in users]
        engine.reactions.react_many([*items, (USER, post, play.choice(names))])
        others[post] = {user: engine.settings.reaction_types[name] for user, _, name in items}
    engine.drain()
    engine.reactions.react_many((USER, post, None) for post in POSTS if post % 5 == 0)
    engine.drain()
    engine.loader.load([post for post in POSTS if post % 2])
    return others


def check_user_is_gone(engine: Engine, others: dict[int, dict[int, int]]) -> None:
    assert rows_of(engine, "user_id = :user", user=USER) == []
    assert engine.queries.reactions(list(others)) == others
    for post, users in others.items():
        counts = {code: list(users.values()).count(code) for code in set(users.values())}
        found = engine.reactions.counts(post)
        codes = engine.settings.reaction_types
        assert {codes[name]: number for name, number in found.items() if number} == counts
    assert keys_of(engine, f"user:*:{USER}:*") == set()
    assert engine.reactions.history(USER).items == ()
    assert {s.reaction for s in engine.reactions.summaries(list(others), USER)} == {None}
    assert engine.erasure_requests.unfinished() == ([], {})
    check_counts(engine)
    assert engine.verify().holds


class DiedError(Exception):
    """The process died here."""


STEPS = {
    "_requests": ["unfinished", "confirm_erased", "advance_erasure"],
    "_clock": ["bound_versions", "readings"],
    "_writes": ["record_many"],
    "_users": ["drop", "drop_post"],
    "_queries": ["history"],
    "_erasures": ["mark_deleted", "erase_post", "mark_forgotten", "erase_user"],
}


def mortal(engine: Engine, life: int, *, after: bool) -> Eraser:
    """An eraser that dies just before, or just after, one of its steps."""
    eraser = Eraser(engine.client, engine.database, engine.settings)
    steps = itertools.count()

    def wrap(method: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **options: Any) -> Any:
            if next(steps) == life:
                if after:
                    method(*args, **options)
                raise DiedError
            return method(*args, **options)

        return step

    for part, methods in STEPS.items():
        target = getattr(eraser, part)
        for name in methods:
            setattr(target, name, wrap(getattr(target, name)))
    return eraser


class Play:
    """One drain and one deletion, step by step."""

    def __init__(self, engine: Engine, post_id: int = POST) -> None:
        self._engine = engine
        self._post_id = post_id
        self._claims: list[Claim] = []
        self._batch = Batch()

    def claim(self) -> None:
        self._claims, failed = self._engine.outbox.claim({SHARD: ""})
        assert not failed

    def record(self) -> None:
        self._batch = self._engine.persister.record(self._claims, Drained())

    def settle(self) -> None:
        self._engine.persister.settle(self._claims, self._batch, Drained())

    def delete(self) -> None:
        self._engine.reactions.delete_post(self._post_id)

    def erase(self) -> None:
        self._engine.eraser.erase()
