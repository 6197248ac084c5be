"""The tables, as SQLAlchemy Core metadata. A test holds the Alembic migrations against it.

``post_id`` is in every key and every row of a post can live on one node, so the schema fits a
distributed PostgreSQL that shards on it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Identity,
    Index,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

PARTITIONS = 16
"""Hash partitions of ``reactions``: 40 million rows of one post stay in one of them."""

TOUCHED_EVERY_US = 30_000_000
"""How far ``posts.touched`` may lag behind a post's newest change."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)

reaction_types = Table(
    "reaction_types",
    metadata,
    Column("code", SmallInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False, unique=True),
    # 0 stands for tombstones in the counts.
    CheckConstraint("code BETWEEN 0 AND 127", name="code"),
)

reactions = Table(
    "reactions",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    # Microseconds since 1970, unique within the shard: it orders the changes and dates them.
    Column("version", BigInteger, nullable=False),
    # 0 is a tombstone: removed, but later than any older change that is still on its way.
    Column("reaction", SmallInteger, nullable=False),
    CheckConstraint("post_id > 0 AND user_id > 0 AND version > 0 AND reaction >= 0", name="range"),
    postgresql_partition_by="HASH (post_id)",
)

# The newest of a post by type, and the history of a user; removed reactions are in neither. All
# types together are a merge of the scans of each, so one index serves both kinds of list.
Index(
    "ix_reactions_post_type_newest",
    reactions.c.post_id,
    reactions.c.reaction,
    reactions.c.version.desc(),
    postgresql_where=text("reaction <> 0"),
)
Index(
    "ix_reactions_user_newest",
    reactions.c.user_id,
    reactions.c.version.desc(),
    postgresql_where=text("reaction <> 0"),
)
# Tombstones by age, for housekeeping.
Index("ix_reactions_removed", reactions.c.version, postgresql_where=text("reaction = 0"))
# The tombstones of a user, for their erasure.
Index("ix_reactions_user_removed", reactions.c.user_id, postgresql_where=text("reaction = 0"))

reaction_counts = Table(
    "reaction_counts",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    # Checked when a (post, type) first appears, not at each change: a code that no type has is
    # refused by the database at next to no cost.
    Column(
        "reaction",
        SmallInteger,
        ForeignKey(reaction_types.c.code),
        primary_key=True,
        autoincrement=False,
    ),
    Column("count", BigInteger, nullable=False),
    # Room for heap-only updates: the count is the one column that changes, and no index has it.
    postgresql_with={"fillfactor": 70},
)

# What drains must not write any more.
deleted_posts = Table(
    "deleted_posts",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # All of its rows are gone.
    Column("erased", Boolean, nullable=False, server_default=text("false")),
)

forgotten_users = Table(
    "forgotten_users",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    # No reaction of theirs up to this version is to be written.
    Column("before", BigInteger, nullable=False),
)

# What the duties of Beat find work by.
posts = Table(
    "posts",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    # Version of a recorded change; the newest one may be up to TOUCHED_EVERY_US later.
    Column("touched", BigInteger, nullable=False),
    # model.PostTier; and since when (µs).
    Column("tier", SmallInteger, nullable=False, server_default="0"),
    Column("tier_since", BigInteger, nullable=False, server_default="0"),
    # When its caches were last compared (µs).
    Column("checked", BigInteger, nullable=False, server_default="0"),
)
Index("ix_posts_tier_touched", posts.c.tier, posts.c.touched.desc())
Index("ix_posts_sampled", posts.c.post_id, postgresql_where=text("tier IN (2, 3)"))
Index("ix_posts_touched", posts.c.touched.desc())

runs = Table(
    "runs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("duty", Text, nullable=False),
    Column("started_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    Column("ended_at", DateTime(timezone=True)),
    Column("looked_at", BigInteger, nullable=False, server_default="0"),
    Column("found", BigInteger, nullable=False, server_default="0"),
    Column("repaired", BigInteger, nullable=False, server_default="0"),
    Column("detail", Text, nullable=False, server_default=""),
    Column("error", Text),
)
Index("ix_runs_duty_started", runs.c.duty, runs.c.started_at.desc())

# Counts under way of posts with more rows than one slice: how far, and what was counted. Drains
# keep them up to date for what lies behind the position.
audits = Table(
    "audits",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reaction", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
)

# One row a duty: who is at it, where it goes on, and what all of its runs came to.
duties = Table(
    "duties",
    metadata,
    Column("duty", Text, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("leased_until", DateTime(timezone=True), nullable=False),
    Column("position", BigInteger, nullable=False, server_default="0"),
    Column("runs", BigInteger, nullable=False, server_default="0"),
    Column("failures", BigInteger, nullable=False, server_default="0"),
    Column("succeeded_at", DateTime(timezone=True)),
    Column("looked_at", BigInteger, nullable=False, server_default="0"),
    Column("repaired", BigInteger, nullable=False, server_default="0"),
    Column("seconds", Double, nullable=False, server_default="0"),
)

# What all runs of a duty found, by kind.
findings = Table(
    "findings",
    metadata,
    Column("duty", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("found", BigInteger, nullable=False),
)

# The epoch of each Redis shard. When Redis has another incarnation or an older tick, it lost data.
redis_epochs = Table(
    "redis_epochs",
    metadata,
    Column("shard", SmallInteger, primary_key=True, autoincrement=False),
    Column("incarnation", Text, nullable=False),
    Column("tick", BigInteger, nullable=False),
    # The current rebuild pass (all in µs since 1970): it still has to load the posts that changed
    # before `rebuild` (0: none) and after `rebuild_to`, and it began at `rebuild_began`.
    Column("rebuild", BigInteger, nullable=False, server_default="0"),
    Column("rebuild_to", BigInteger, nullable=False, server_default="0"),
    Column("rebuild_began", BigInteger, nullable=False, server_default="0"),
)

dead_letters = Table(
    "dead_letters",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    # As text: what the database refused may not be a number.
    Column("post", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("post", "user", "value"),
)
