"""The tables, as SQLAlchemy Core metadata. A test holds the Alembic migrations against it.

``post_id`` is in every key and every row of a post can live on one node, so the schema fits a
distributed PostgreSQL that shards on it.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
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
)

forgotten_users = Table(
    "forgotten_users",
    metadata,
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    # No reaction of theirs up to this version is to be written.
    Column("before", BigInteger, nullable=False),
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
