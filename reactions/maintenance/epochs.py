"""Marks by which a loss of Redis is noticed: the same in Redis and in PostgreSQL, one a shard.

A mark is an incarnation, random, and a tick that rises. Redis is marked first, so its tick is never
behind, unless it lost something: an empty server has no mark, another one another incarnation, a
restored snapshot (or an append-only file without its last second) an older tick.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import SHARDS
from reactions.postgres.database import Database
from reactions.postgres.tables import marks
from reactions.redis import keys
from reactions.redis.connection import Client, translated
from reactions.redis.pipeline import run_all
from reactions.redis.scripts import markers

_mark = marks.c

_WRITTEN = re.compile(r"([^|]{1,40})\|([0-9]{1,18})\|([0-9]{1,18})")


class Loss(enum.StrEnum):
    """What became of a shard of Redis."""

    NONE = "none"
    EMPTY = "empty"
    """It has no mark, or another's: all of it is gone."""
    OLDER = "older"
    """It is as it was some time ago."""


@dataclass(frozen=True, slots=True)
class RedisEpoch:
    """One shard's."""

    incarnation: str
    tick: int
    at_us: int = 0
    """When Redis was marked."""

    @classmethod
    def read(cls, written: str) -> RedisEpoch | None:
        parts = _WRITTEN.fullmatch(written)
        return parts and cls(parts[1], int(parts[2]), int(parts[3]))

    def __str__(self) -> str:
        return f"{self.incarnation}|{self.tick}|{self.at_us}"


def loss(in_redis: RedisEpoch | None, in_database: RedisEpoch | None) -> Loss:
    """What the two say together. A database that has no mark yet has nothing to compare with."""
    if in_database is None:
        return Loss.NONE
    if in_redis is None or in_redis.incarnation != in_database.incarnation:
        return Loss.EMPTY
    return Loss.OLDER if in_redis.tick < in_database.tick else Loss.NONE


class Rebuild(NamedTuple):
    """A pass over the posts of a shard, those touched last first; all µs."""

    before: int
    """Those touched before this are yet to be loaded; 0 when all are,"""
    down_to: int
    """but for those touched before this."""
    began: int


class Epochs:
    """Reads and writes marks."""

    def __init__(self, client: Client, database: Database) -> None:
        self._client = client
        self._database = database

    def in_redis(self) -> dict[int, str]:
        """As they are written, "" for none. One round trip for each node."""
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for shard in range(SHARDS):
                pipe.get(keys.outbox_epoch(shard))
            return {
                shard: (found or b"").decode(errors="replace")
                for shard, found in enumerate(pipe.execute())
            }

    def in_database(self) -> dict[int, RedisEpoch]:
        """One query."""
        with self._database.transaction() as connection:
            found = connection.execute(select(marks.c.shard, marks.c.incarnation, marks.c.tick))
            return {shard: RedisEpoch(incarnation, tick) for shard, incarnation, tick in found}

    def replace(self, read: Mapping[int, str], written: Mapping[int, RedisEpoch]) -> list[int]:
        """Mark these shards of Redis, but for those that lost the mark that was read.

        Returns:
            Those that were marked.
        """
        calls = [
            markers.write_epoch(shard, read[shard], str(mark)) for shard, mark in written.items()
        ]
        replies = run_all(self._client, calls)
        return [shard for shard, reply in zip(written, replies, strict=True) if reply]

    def note(self, found: Mapping[int, RedisEpoch]) -> None:
        """To PostgreSQL, after Redis: so the tick there is never behind."""
        if not found:
            return
        added = insert(marks).values(
            [
                {"shard": shard, "incarnation": mark.incarnation, "tick": mark.tick}
                for shard, mark in sorted(found.items())
            ]
        )
        new = added.excluded
        with self._database.transaction() as connection:
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["shard"],
                    set_={"incarnation": new.incarnation, "tick": new.tick},
                )
            )

    def to_rebuild(self) -> dict[int, Rebuild]:
        """Shards with posts yet to be loaded. One query."""
        wanted = select(_mark.shard, _mark.rebuild, _mark.rebuild_to, _mark.rebuild_began)
        with self._database.transaction() as connection:
            found = connection.execute(wanted.where(_mark.rebuild > 0))
            return {shard: Rebuild(*rest) for shard, *rest in found}

    def set_rebuild(
        self, shards: Sequence[int], rebuild: Rebuild, expected: Rebuild | None = None
    ) -> None:
        """Note what these shards are to load; with ``expected``, only where that stands."""
        wanted = marks.update().where(_mark.shard.in_(shards))
        if expected is not None:
            wanted = wanted.where(
                _mark.rebuild == expected.before, _mark.rebuild_began == expected.began
            )
        with self._database.transaction() as connection:
            connection.execute(
                wanted.values(
                    rebuild=rebuild.before, rebuild_to=rebuild.down_to, rebuild_began=rebuild.began
                )
            )
