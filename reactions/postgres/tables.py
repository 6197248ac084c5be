"""The tables as metadata of SQLAlchemy Core. A test compares it with the Alembic migrations.

Every key contains ``post_id``, so a distributed PostgreSQL can use it as its shard key and keep all
rows of a post on one node.
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
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

TOUCHED_EVERY_US = 30_000_000
"""How far (µs) ``posts.touched`` may lag behind the newest change of a post."""

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
    Column("retired", Boolean, nullable=False, server_default=text("false")),
    # Processes that are configured with one of these names work on.
    Column("former", ARRAY(Text), nullable=False, server_default=text("'{}'")),
    # For display; empty: the name, and no emoji.
    Column("label", Text, nullable=False, server_default=text("''")),
    Column("emoji", Text, nullable=False, server_default=text("''")),
    # The counts use 0 for tombstones.
    CheckConstraint("code BETWEEN 0 AND 127", name="code"),
)

reactions = Table(
    "reactions",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    # Microseconds since 1970, unique within the shard: orders changes, and is their time.
    Column("version", BigInteger, nullable=False),
    # 0 is a tombstone: its version makes older changes lose that arrive after the removal.
    Column("reaction", SmallInteger, nullable=False),
    CheckConstraint("post_id > 0 AND user_id > 0 AND version > 0 AND reaction >= 0", name="range"),
    postgresql_partition_by="HASH (post_id)",
)

# For the newest reactions of a post by type, and for the history of a user, without tombstones. A
# list of all types merges one scan for each type, so it needs no index of its own.
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
# For the cleanup of tombstones by age.
Index("ix_reactions_removed", reactions.c.version, postgresql_where=text("reaction = 0"))
# For the erasure of the tombstones of a user.
Index("ix_reactions_user_removed", reactions.c.user_id, postgresql_where=text("reaction = 0"))

reaction_counts = Table(
    "reaction_counts",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    # PostgreSQL checks the code when a (post, type) first appears, and not at each change, so the
    # check costs next to nothing.
    Column(
        "reaction",
        SmallInteger,
        ForeignKey(reaction_types.c.code),
        primary_key=True,
        autoincrement=False,
    ),
    Column("count", BigInteger, nullable=False),
    # Room for heap-only updates: only the count changes, and no index contains it.
    postgresql_with={"fillfactor": 70},
)

# Drains no longer write rows of these posts and users.
deleted_posts = Table(
    "deleted_posts",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    Column("deleted_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    # True once all rows of the post are gone.
    Column("erased", Boolean, nullable=False, server_default=text("false")),
)

forgotten_users = Table(
    "forgotten_users",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    # Drains write no reaction of the user with a version up to this one, or up to the one that
    # `ahead` has for the shard of the post: versions of that shard are ahead of the others.
    Column("before", BigInteger, nullable=False),
    Column("ahead", JSONB, nullable=False, server_default=text("'{}'")),
)

# The duties of Beat find the posts that they work on here.
posts = Table(
    "posts",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    # The version of a recorded change; the newest one may be up to TOUCHED_EVERY_US later.
    Column("touched", BigInteger, nullable=False),
    # A model.PostTier, and since when (µs).
    Column("tier", SmallInteger, nullable=False, server_default="0"),
    Column("tier_since", BigInteger, nullable=False, server_default="0"),
    # When the caches of the post were last compared (µs).
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

# Audits under way of posts with more rows than one slice: the position, and the rows counted up to
# it. Drains keep the numbers up to date for rows before the position.
audits = Table(
    "audits",
    metadata,
    Column("post_id", BigInteger, primary_key=True, autoincrement=False),
    Column("reaction", SmallInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, nullable=False),
    Column("rows", BigInteger, nullable=False),
)

# One row for each duty: its lease, its position, and the totals of its runs.
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

# The differences that all runs of a duty found, by kind.
findings = Table(
    "findings",
    metadata,
    Column("duty", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("found", BigInteger, nullable=False),
)

# The epoch of each Redis shard. Another one in Redis shows that one of the stores lost data.
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
    # Text, because a refused value may not be a number.
    Column("post", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
    UniqueConstraint("post", "user", "value"),
)
