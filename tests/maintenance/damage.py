"""Posts of each tier, and damage of every kind to them."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import text

from reactions.core.constants import shard_of
from reactions.maintenance.compare import Kind
from reactions.redis.buckets import bucket_of
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine

REGULAR, VIRAL, COLD, DELETED = 1042, 1142, 1043, 1044
DAMAGE: dict[str, tuple[Kind, int, Callable[[Engine], object]]] = {
    "a count too high": (
        Kind.COUNTS,
        REGULAR,
        lambda e: e.client.hincrby(keys.post_reaction_counts(REGULAR), "1", 5),
    ),
    "a count below zero": (
        Kind.COUNTS,
        VIRAL,
        lambda e: e.client.hset(keys.post_reaction_counts(VIRAL), "1", -3),
    ),
    "a type missing from the counts": (
        Kind.COUNTS,
        VIRAL,
        lambda e: e.client.hdel(keys.post_reaction_counts(VIRAL), "1"),
    ),
    "a type too many in the counts": (
        Kind.COUNTS,
        REGULAR,
        lambda e: e.client.hset(keys.post_reaction_counts(REGULAR), "9", 4),
    ),
    "counts of a cold post": (
        Kind.COUNTS,
        COLD,
        lambda e: e.client.hset(keys.post_reaction_counts(COLD), "1", 40),
    ),
    "a user missing from a hash": (
        Kind.HASH,
        REGULAR,
        lambda e: e.client.hdel(keys.post_reactions(REGULAR), "1"),
    ),
    "a user too many in a hash": (
        Kind.HASH,
        REGULAR,
        lambda e: e.client.hset(keys.post_reactions(REGULAR), "77", 1),
    ),
    "a wrong type in a hash": (
        Kind.HASH,
        REGULAR,
        lambda e: e.client.hset(keys.post_reactions(REGULAR), "1", 5),
    ),
    "a sample out of order": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.lmove(keys.post_recent(VIRAL), keys.post_recent(VIRAL), "RIGHT", "LEFT"),
    ),
    "a sample with a wrong type": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.hset(keys.post_reactions(VIRAL), "12", 5),
    ),
    "a type that changed in the sample": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.hset(home(e, 12), "12", 5),
    ),
    "a user in the sample's hash only": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.hset(keys.post_reactions(VIRAL), "77", 1),
    ),
    "a user twice in the sample": (
        Kind.SAMPLE,
        VIRAL,
        lambda e: e.client.rpush(keys.post_recent(VIRAL), "12"),
    ),
    "a short sample": (Kind.SHORT, VIRAL, lambda e: shorten(e)),
    "a wrong total": (
        Kind.TOTAL,
        VIRAL,
        lambda e: e.client.incrby(keys.post_total_reactions(VIRAL), 3),
    ),
    "a total of a regular post": (
        Kind.TOTAL,
        REGULAR,
        lambda e: e.client.set(keys.post_total_reactions(REGULAR), 30_000, px=60_000),
    ),
    "a regular post flagged as viral": (
        Kind.FLAG,
        REGULAR,
        lambda e: e.client.set(keys.post_viral(REGULAR), 1, px=60_000),
    ),
    "a viral post without its flag": (
        Kind.UNFLAGGED,
        VIRAL,
        lambda e: e.client.delete(keys.post_viral(VIRAL)),
    ),
    "a wrong code in a user's cache": (
        Kind.USER,
        VIRAL,
        lambda e: e.client.hset(keys.user_reactions(3), str(VIRAL), 6),
    ),
    "a wrong removal in a user's cache": (
        Kind.USER,
        REGULAR,
        lambda e: e.client.hset(keys.user_reactions(2), str(REGULAR), 0),
    ),
    "a cache key without a TTL": (
        Kind.IMMORTAL,
        REGULAR,
        lambda e: e.client.persist(keys.post_reactions(REGULAR)),
    ),
    "a pending change that no drain would find": (
        Kind.UNLISTED,
        COLD,
        lambda e: (
            e.reactions.react(5, COLD, "like"),
            e.client.delete(keys.outbox_dirty(shard_of(COLD))),
        ),
    ),
    "a deleted post without its mark": (
        Kind.UNMARKED,
        DELETED,
        lambda e: e.client.delete(keys.outbox_deleted(shard_of(DELETED))),
    ),
    "a count in the database": (
        Kind.LEDGER,
        VIRAL,
        lambda e: execute(e, "UPDATE reaction_counts SET count = count + 7 WHERE post_id = 1142"),
    ),
    "a type missing from the counts in the database": (
        Kind.LEDGER,
        REGULAR,
        lambda e: execute(e, "DELETE FROM reaction_counts WHERE post_id = 1042"),
    ),
    "a row lost from the database": (
        Kind.LEDGER,
        COLD,
        lambda e: execute(e, "DELETE FROM reactions WHERE post_id = 1043 AND user_id = 1"),
    ),
}


def home(engine: Engine, user: int) -> str:
    (snapshot,) = engine.post_snapshots.snapshots([VIRAL])
    return keys.bucket(keys.post_reactions(VIRAL), bucket_of(user, len(snapshot.entries)))


def execute(engine: Engine, statement: str, **values: int) -> None:
    with engine.database.engine.begin() as connection:
        connection.execute(text(statement), values)


def shorten(engine: Engine) -> None:
    oldest = engine.client.rpop(keys.post_recent(VIRAL))
    engine.client.hdel(home(engine, int(oldest)), str(int(oldest)))  # type: ignore[arg-type]
