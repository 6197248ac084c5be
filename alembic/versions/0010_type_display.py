"""reaction types have a label and an emoji for display

Adds columns with constant defaults, which rewrites nothing. Older processes do not see them.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TYPES = sa.table("reaction_types", sa.column("name", sa.Text), sa.column("emoji", sa.Text))
EMOJI = {
    "like": "\N{THUMBS UP SIGN}",
    "love": "\N{HEAVY BLACK HEART}\N{VARIATION SELECTOR-16}",
    "laugh": "\N{FACE WITH TEARS OF JOY}",
    "wow": "\N{FACE WITH OPEN MOUTH}",
    "sad": "\N{CRYING FACE}",
    "angry": "\N{POUTING FACE}",
}


def upgrade() -> None:
    for name in ("label", "emoji"):
        column = sa.Column(name, sa.Text(), server_default=sa.text("''"), nullable=False)
        op.add_column("reaction_types", column)
    for name, emoji in EMOJI.items():
        op.execute(TYPES.update().where(TYPES.c.name == name).values(emoji=emoji))


def downgrade() -> None:
    op.drop_column("reaction_types", "emoji")
    op.drop_column("reaction_types", "label")
