"""indexes: the newest of a post by type, and the tombstones of a user

Revision ID: 0003
Revises: 0002

Safe online: it builds each index CONCURRENTLY on every partition and then attaches it, so no write
waits. After an interruption, another run continues.
"""

from alembic import op
from reactions.postgres.migrate import create_index

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_reactions_user_removed", "(user_id)", "reaction = 0")
    create_index(
        "ix_reactions_post_type_newest", "(post_id, reaction, version DESC)", "reaction <> 0"
    )
    op.execute("DROP INDEX IF EXISTS ix_reactions_post_newest")


def downgrade() -> None:
    create_index("ix_reactions_post_newest", "(post_id, version DESC)", "reaction <> 0")
    op.execute("DROP INDEX IF EXISTS ix_reactions_post_type_newest")
    op.execute("DROP INDEX IF EXISTS ix_reactions_user_removed")
