"""reactions, their counts, their types, and dead letters

Revision ID: 0001
Revises:
"""

import sqlalchemy as sa

from alembic import op
from reactions.postgres.migrate import chosen_partitions
from reactions.postgres.partitions import first_names

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reaction_types",
        sa.Column("code", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.CheckConstraint("code BETWEEN 1 AND 127", name="ck_reaction_types_code"),
        sa.PrimaryKeyConstraint("code", name="pk_reaction_types"),
        sa.UniqueConstraint("name", name="uq_reaction_types_name"),
    )
    op.create_table(
        "reactions",
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("reaction", sa.SmallInteger(), nullable=False),
        sa.CheckConstraint(
            "post_id > 0 AND user_id > 0 AND version > 0 AND reaction >= 0",
            name="ck_reactions_range",
        ),
        sa.PrimaryKeyConstraint("post_id", "user_id", name="pk_reactions"),
        postgresql_partition_by="HASH (post_id)",
    )
    partitions = first_names(chosen_partitions())
    for part, name in enumerate(partitions):
        op.execute(
            f"CREATE TABLE {name} PARTITION OF reactions "
            f"FOR VALUES WITH (MODULUS {len(partitions)}, REMAINDER {part})"
        )
    # The tables are empty, so a plain CREATE INDEX blocks nobody. A migration that indexes a full
    # table builds the index on each partition CONCURRENTLY and then attaches it.
    op.create_index(
        "ix_reactions_post_newest",
        "reactions",
        ["post_id", sa.text("version DESC")],
        postgresql_where=sa.text("reaction <> 0"),
    )
    op.create_index(
        "ix_reactions_user_newest",
        "reactions",
        ["user_id", sa.text("version DESC")],
        postgresql_where=sa.text("reaction <> 0"),
    )
    op.create_table(
        "reaction_counts",
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("reaction", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["reaction"], ["reaction_types.code"], name="fk_reaction_counts_reaction"
        ),
        sa.PrimaryKeyConstraint("post_id", "reaction", name="pk_reaction_counts"),
        postgresql_with={"fillfactor": 70},
    )
    op.create_table(
        "dead_letters",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("post", sa.Text(), nullable=False),
        sa.Column("user", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name="pk_dead_letters"),
        sa.UniqueConstraint("post", "user", "value", name="uq_dead_letters_post"),
    )


def downgrade() -> None:
    for table in ("dead_letters", "reaction_counts", "reactions", "reaction_types"):
        op.drop_table(table)
