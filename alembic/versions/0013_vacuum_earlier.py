"""vacuum each partition of reactions after 5 % of its rows have changed, not after 20 %

Revision ID: 0013
Revises: 0012

Safe online: it changes an option of the partitions, and waits for no reader or writer. The next
vacuum of a large partition comes earlier than it would have, once.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# `reactions partitions` gives new partitions the options of the present ones.
EACH = """
DO $$
DECLARE part regclass;
BEGIN
    FOR part IN SELECT inhrelid FROM pg_inherits WHERE inhparent = 'reactions'::regclass LOOP
        EXECUTE 'ALTER TABLE ' || part || ' @';
    END LOOP;
END $$
"""


def upgrade() -> None:
    op.execute(EACH.replace("@", "SET (autovacuum_vacuum_scale_factor = 0.05)"))


def downgrade() -> None:
    op.execute(EACH.replace("@", "RESET (autovacuum_vacuum_scale_factor)"))
