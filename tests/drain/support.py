"""Reactions to drain, and engines with smaller batches."""

from __future__ import annotations

from reactions.drain.persister import Persister
from reactions.redis.outbox import Outbox
from tests.support.engine import Engine

POST = 1042
SHARD = 42


def react(engine: Engine, users: int, post_id: int = POST, reaction: str = "like") -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in range(1, users + 1))


def step(engine: Engine, batch_rows: int, **update: int) -> Engine:
    """Give the engine a smaller batch, and return it."""
    settings = engine.settings.model_copy(update={"batch_rows": batch_rows, **update})
    engine.outbox = Outbox(engine.client, settings)
    engine.persister = Persister(engine.client, engine.database, settings)
    return engine
