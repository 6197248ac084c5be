"""Epochs, which show that a store lost data: one for each shard, the same in both stores.

An epoch is a random incarnation and a tick that rises. It is written to Redis first and to
PostgreSQL second, so the tick in Redis is the same or one higher, unless a store lost something. An
empty Redis has no epoch. Another server has another incarnation. A store that was restored from an
older state, or lost its newest writes, has an older tick. A dump that is younger than the last tick
shows in the place of the table: it was made anew, or emptied.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from redis.exceptions import RedisError
from sqlalchemy import ColumnElement, literal_column, select, text
from sqlalchemy.dialects.postgresql import insert

from reactions.core.constants import MAX_ID, SHARDS
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.tables import redis_epochs
from reactions.redis.command_batch import CommandBatch
from reactions.redis.connection import Client, is_outage, translated
from reactions.redis.keys import keys_of
from reactions.redis.pipeline import run_all
from reactions.redis.scripts import markers

_epoch = redis_epochs.c

# A restore makes the table anew, or empties it: both give it another file. A physical replica has
# the same file, but its promotion begins another timeline, the first part of a log file's name.
_PLACE: ColumnElement[str] = literal_column(
    "coalesce((SELECT to_hex(oid::bigint) FROM pg_database WHERE datname = current_database())"
    " || '-' || to_hex(pg_relation_filenode(redis_epochs.tableoid)::bigint)"
    " || '-' || ltrim(left(pg_walfile_name(pg_current_wal_lsn()), 8), '0'), '')"
)

_TRANSACTION = text("SELECT pg_current_xact_id()::text::bigint")

_WRITTEN = re.compile(r"([^|]{1,64})\|([0-9]{1,18})\|([0-9]{1,18})")


class Loss(enum.StrEnum):
    """What a shard of Redis, or PostgreSQL, lost."""

    NONE = "none"
    EMPTY = "empty"
    """Redis lost all of it: the shard has no epoch."""
    OLDER = "older"
    """Redis lost everything since some time ago: the shard was restored from an older state."""
    OTHER = "other"
    """The stores do not belong together: Redis has the epoch of another server, or one of them was
    restored from a state before the last recovery."""
    DATABASE = "database"
    """PostgreSQL lost what it committed since some time ago, as when a dump was restored."""


@dataclass(frozen=True, slots=True)
class RedisEpoch:
    """The epoch of one shard.

    Attributes:
        incarnation: random; a new one after each loss.
        tick: rises by one with each run of the duty. PostgreSQL has it at the end of the run.
        at_us: when the epoch was written to Redis (µs since 1970); PostgreSQL does not store it.
        place: where the table of epochs is: the numbers of the database, of the file and of the
            timeline; older versions left out the last. In Redis, where it was when the epoch was
            written. "" when that is not known.
    """

    incarnation: str
    tick: int
    at_us: int = 0
    place: str = ""

    @classmethod
    def read(cls, written: str) -> RedisEpoch | None:
        """Parse the value of the Redis key. None when it is not an epoch."""
        parts = _WRITTEN.fullmatch(written)
        if not parts:
            return None
        incarnation, _, place = parts[1].partition(".")
        return cls(incarnation, int(parts[2]), int(parts[3]), place)

    @property
    def origin(self) -> str:
        """The incarnation and the place, as both stores have them."""
        return f"{self.incarnation}.{self.place}" if self.place else self.incarnation

    def __str__(self) -> str:
        return f"{self.origin}|{self.tick}|{self.at_us}"


def loss(in_redis: RedisEpoch | None, in_database: RedisEpoch | None) -> Loss:
    """Compare the epochs of a shard; the one in Redis was read first.

    PostgreSQL may be one tick behind: a worker died, or PostgreSQL failed, between the two writes.
    """
    if in_database is None:
        return Loss.DATABASE if in_redis is not None else Loss.NONE
    if in_redis is None or not in_redis.tick:  # a recovery that died gave an empty shard tick 0
        return Loss.EMPTY
    if in_redis.incarnation != in_database.incarnation:
        return Loss.OTHER
    if in_redis.tick < in_database.tick:
        return Loss.OLDER
    same = f"{in_database.place}-".startswith(f"{in_redis.place}-")
    moved = bool(in_redis.place) and not same
    return Loss.DATABASE if moved or in_redis.tick > in_database.tick + 1 else Loss.NONE


def following(in_redis: RedisEpoch, in_database: RedisEpoch, now_us: int) -> RedisEpoch:
    """Return the next epoch of a shard that lost nothing: at most one tick ahead of PostgreSQL."""
    tick = max(in_redis.tick, in_database.tick + 1)
    return RedisEpoch(in_redis.incarnation, tick, now_us, in_database.place)


class RebuildPass(NamedTuple):
    """A walk over the posts of a shard, from the one that changed last to older ones.

    All times are in µs since 1970.

    Attributes:
        before: the pass still has to load posts that changed before this time; 0 when it is done.
        down_to: the pass ends at posts that changed before this time.
        began: when the pass began.
    """

    before: int
    down_to: int
    began: int

    @classmethod
    def begin(cls, now_us: int, down_to: int) -> RebuildPass:
        # From the highest time on: the versions of a shard may be ahead of the clock.
        return cls(MAX_ID, down_to, now_us)


NO_PASS = RebuildPass(0, 0, 0)


class Epochs:
    """Reads and writes the epochs of all shards, and their rebuild passes."""

    def __init__(self, client: Client, database: Database, settings: Settings) -> None:
        self._client = client
        self._keys = keys_of(settings.space)
        self._database = database

    def in_redis(self) -> dict[int, str]:
        """The values of the keys, "" for a missing key. One round trip for each node.

        Shards of a node that does not answer are left out, unless no node answers.
        """
        with translated(), CommandBatch(self._client) as pipe:
            for shard in range(SHARDS):
                pipe.get(self._keys.outbox_epoch(shard))
            replies = pipe.execute(raise_on_error=False)
            failed = [reply for reply in replies if isinstance(reply, RedisError)]
            if failed and (len(failed) == SHARDS or not all(map(is_outage, failed))):
                raise failed[0]
            return {
                shard: (found or b"").decode(errors="replace")
                for shard, found in enumerate(replies)
                if not isinstance(found, RedisError)
            }

    def in_database(self) -> dict[int, RedisEpoch]:
        """The epochs in PostgreSQL, by shard, and where the table is now. One query."""
        wanted = select(_epoch.shard, _epoch.incarnation, _epoch.tick, _PLACE)
        with self._database.transaction() as connection:
            found = connection.execute(wanted)
            return {
                shard: RedisEpoch(incarnation.partition(".")[0], tick, place=place)
                for shard, incarnation, tick, place in found
            }

    def replace(self, read: Mapping[int, str], written: Mapping[int, RedisEpoch]) -> list[int]:
        """Write epochs to Redis, except on shards whose value is no longer the one in ``read``.

        Returns:
            The shards whose epoch was written.
        """
        calls = [
            markers.write_epoch(self._keys, shard, read[shard], str(epoch))
            for shard, epoch in written.items()
        ]
        replies = run_all(self._client, calls)
        return [shard for shard, reply in zip(written, replies, strict=True) if reply]

    def note(self, found: Mapping[int, RedisEpoch]) -> int:
        """Write epochs to PostgreSQL. Call it after ``replace``, so Redis is never behind.

        Returns:
            The number of the transaction that wrote them; 0 if there are none.
        """
        if not found:
            return 0
        added = insert(redis_epochs).values(
            [
                {"shard": shard, "incarnation": epoch.origin, "tick": epoch.tick}
                for shard, epoch in sorted(found.items())
            ]
        )
        new = added.excluded
        with self._database.transaction() as connection:
            connection.execute(
                added.on_conflict_do_update(
                    index_elements=["shard"],
                    set_={"incarnation": new.incarnation, "tick": new.tick},
                    # A worker that stalled here must not set back what others wrote since.
                    where=(_epoch.incarnation != new.incarnation) | (_epoch.tick < new.tick),
                )
            )
            return int(connection.scalar(_TRANSACTION) or 0)

    def to_rebuild(self) -> dict[int, RebuildPass]:
        """The unfinished passes, by shard. One query."""
        wanted = select(_epoch.shard, _epoch.rebuild, _epoch.rebuild_to, _epoch.rebuild_began)
        with self._database.transaction() as connection:
            found = connection.execute(wanted.where(_epoch.rebuild > 0))
            return {shard: RebuildPass(*rest) for shard, *rest in found}

    def set_rebuild(
        self, shards: Sequence[int], following: RebuildPass, expected: RebuildPass | None = None
    ) -> None:
        """Set the pass of these shards; with ``expected``, only where that is the current pass."""
        wanted = redis_epochs.update().where(_epoch.shard.in_(shards))
        if expected is not None:
            wanted = wanted.where(
                _epoch.rebuild == expected.before, _epoch.rebuild_began == expected.began
            )
        values = {
            "rebuild": following.before,
            "rebuild_to": following.down_to,
            "rebuild_began": following.began,
        }
        with self._database.transaction() as connection:
            connection.execute(wanted.values(values))
