"""indexes: the newest of a post by type, and the tombstones of a user

Revision ID: 0003
Revises: 0002

Safe online: each index is built CONCURRENTLY on every partition and then attached, so no write
waits for it. Interrupted, it goes on where it was when it is run again.
"""

import sqlalchemy as sa

from alembic import context, op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

PARTITIONS = 16


def upgrade() -> None:
    _create_index("ix_reactions_user_removed", "(user_id)", "reaction = 0")
    _create_index(
        "ix_reactions_post_type_newest", "(post_id, reaction, version DESC)", "reaction <> 0"
    )
    op.execute("DROP INDEX IF EXISTS ix_reactions_post_newest")


def downgrade() -> None:
    _create_index("ix_reactions_post_newest", "(post_id, version DESC)", "reaction <> 0")
    op.execute("DROP INDEX IF EXISTS ix_reactions_post_type_newest")
    op.execute("DROP INDEX IF EXISTS ix_reactions_user_removed")


def _create_index(name: str, columns: str, where: str) -> None:
    with op.get_context().autocommit_block():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY reactions {columns} WHERE {where}")
        for part in range(PARTITIONS):
            index, table = f"{name}_{part:02}", f"reactions_{part:02}"
            if _is_broken(index):
                op.execute(f"DROP INDEX CONCURRENTLY {index}")
            op.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} "
                f"ON {table} {columns} WHERE {where}"
            )
            op.execute(f"ALTER INDEX {name} ATTACH PARTITION {index}")


def _is_broken(index: str) -> bool:
    """What an interrupted build leaves behind."""
    if context.is_offline_mode():
        return False
    valid = sa.text("SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:index)")
    return op.get_bind().scalar(valid, {"index": index}) is False
