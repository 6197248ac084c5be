"""reaction types may be renamed and retired

Adds columns with constant defaults, which rewrites nothing. Older processes do not see them.

Revision ID: 0008
Revises: 0007
"""

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "reaction_types",
        sa.Column("retired", sa.Boolean(), server_default=sa.text("false"), nullable=False),
    )
    op.add_column(
        "reaction_types",
        sa.Column(
            "former", postgresql.ARRAY(sa.Text()), server_default=sa.text("'{}'"), nullable=False
        ),
    )


def downgrade() -> None:
    op.drop_column("reaction_types", "former")
    op.drop_column("reaction_types", "retired")
