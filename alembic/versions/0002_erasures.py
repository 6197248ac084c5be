"""tombstones counted, deleted posts and forgotten users

Revision ID: 0002
Revises: 0001

Stop the workers of the version before: they do not count tombstones.
"""

import sqlalchemy as sa

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "deleted_posts",
        sa.Column("post_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column(
            "deleted_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False
        ),
        sa.PrimaryKeyConstraint("post_id", name="pk_deleted_posts"),
    )
    op.create_table(
        "forgotten_users",
        sa.Column("user_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("before", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_forgotten_users"),
    )
    _allow_codes_from(0)
    op.execute("INSERT INTO reaction_types (code, name) VALUES (0, 'remove')")
    op.execute(
        "INSERT INTO reaction_counts (post_id, reaction, count) "
        "SELECT post_id, 0, count(*) FROM reactions WHERE reaction = 0 GROUP BY post_id"
    )


def downgrade() -> None:
    op.execute("DELETE FROM reaction_counts WHERE reaction = 0")
    op.execute("DELETE FROM reaction_types WHERE code = 0")
    _allow_codes_from(1)
    op.drop_table("forgotten_users")
    op.drop_table("deleted_posts")


def _allow_codes_from(lowest: int) -> None:
    name = op.f("ck_reaction_types_ck_reaction_types_code")  # as 0001 has it
    op.drop_constraint(name, "reaction_types")
    op.create_check_constraint(name, "reaction_types", f"code BETWEEN {lowest} AND 127")
