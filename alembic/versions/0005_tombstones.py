"""index: tombstones by age, for the daily cleanup

Revision ID: 0005
Revises: 0004

Safe online, like 0003.
"""

from alembic import op
from reactions.postgres.migrate import create_index

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    create_index("ix_reactions_removed", "(version)", "reaction = 0")


def downgrade() -> None:
    op.execute("DROP INDEX IF EXISTS ix_reactions_removed")
