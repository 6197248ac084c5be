"""Helpers for tests of reads: posts of each tier, and what a read sends."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from redis.connection import AbstractConnection
from sqlalchemy import Engine as SqlEngine

from benchmarks.support.statements import Statement, statements
from reactions.aio.line import Line
from reactions.api.client import Reactions
from reactions.api.feeds import Feeds
from reactions.api.lists import Lists
from reactions.core.settings import Settings
from reactions.drain import cache_loader
from reactions.maintenance import checker, compare
from reactions.redis import buckets
from reactions.redis.scripts import ALL, drain, loading, writes
from tests.support.engine import Engine
from tests.support.waiting import patience

POST = 1042
SHARD = 42
USER = 7
FEED = range(1, 51)

VIRAL = 10
SMALL_SAMPLE = 5
PATIENCE_S = patience(20)


def shrink(patch: pytest.MonkeyPatch, sample: int, fill: int, full: int) -> None:
    """Shrink samples and buckets, so that a handful of users reaches every case."""
    for module in (drain, loading, writes, cache_loader, compare, checker):
        patch.setattr(module, "SAMPLE_SIZE", sample)
    patch.setattr(buckets, "FILL", fill)
    patch.setattr(buckets, "FULL", full)


def react(
    engine: Engine, post_id: int, users: Iterable[int], reaction: str | None = "like"
) -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in users)


def cached(engine: Engine) -> list[bytes]:
    found = list(engine.client.scan_iter(count=10_000))
    with engine.client.pipeline(transaction=False) as pipe:
        for key in found:
            pipe.pttl(key)
        lives = pipe.execute()
    return [key for key, life in zip(found, lives, strict=True) if life >= 0]


def evict(engine: Engine) -> None:
    """Delete every cache key."""
    if gone := cached(engine):
        engine.client.delete(*gone)


def make_regular(engine: Engine, post_id: int) -> None:
    """Make a regular post whose complete hash has several buckets."""
    react(engine, post_id, range(1, 9))
    engine.drain()
    assert engine.loader.load([post_id]) == 1


def make_viral(engine: Engine, post_id: int) -> None:
    react(engine, post_id, range(1, 16))
    engine.drain()
    assert engine.post_snapshots.snapshots([post_id])[0].sampled


def feeds_of(client: Reactions) -> Feeds:
    return client._reads.reads().feeds


def lists_of(client: Reactions) -> Lists:
    return client._reads.reads().lists


def database_of(client: Reactions) -> SqlEngine:
    return client._reads.reads().database.engine


@dataclass
class Traffic:
    """What the watched thread sent. A pipeline is one round trip."""

    trips: int = 0
    queries: list[Statement] = field(default_factory=list)


@contextmanager
def traffic(client: Reactions) -> Iterator[Traffic]:
    """Count what this thread sends. The server has every script from the start."""
    for script in ALL:
        client._client.script_load(script.source)
    seen = Traffic()
    send: Callable[..., Any] = AbstractConnection.send_packed_command
    send_line = Line.send
    watched = threading.get_ident()  # not the relay, which has a thread of its own

    def sending(connection: Any, *args: Any, **options: Any) -> Any:
        seen.trips += threading.get_ident() == watched
        return send(connection, *args, **options)

    async def sending_line(line: Line, calls: Any) -> None:
        seen.trips += 1  # the loop of an asynchronous client, which this thread waits for
        await send_line(line, calls)

    with statements(database_of(client)) as seen.queries, pytest.MonkeyPatch.context() as patch:
        patch.setattr(AbstractConnection, "send_packed_command", sending)
        patch.setattr(Line, "send", sending_line)
        yield seen


@contextmanager
def without_database(settings: Settings, **update: float) -> Iterator[Reactions]:
    nowhere = Settings(database_url="postgresql://127.0.0.1:1/x").database_url
    with Reactions(settings.model_copy(update={"database_url": nowhere, **update})) as client:
        yield client
