"""rename marks to redis_epochs, and the duties tidy and watch to cleanup and loss_detection

Revision ID: 0006
Revises: 0005

Stop the workers before: the old ones read the table `marks`. The locks are short.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

DUTIES = {"tidy": "cleanup", "watch": "loss_detection"}
TABLES = ("duties", "runs", "findings")


def upgrade() -> None:
    op.rename_table("marks", "redis_epochs")
    op.execute("ALTER TABLE redis_epochs RENAME CONSTRAINT pk_marks TO pk_redis_epochs")
    for old, new in DUTIES.items():
        _rename_duty(old, new)


def downgrade() -> None:
    for old, new in DUTIES.items():
        _rename_duty(new, old)
    op.execute("ALTER TABLE redis_epochs RENAME CONSTRAINT pk_redis_epochs TO pk_marks")
    op.rename_table("redis_epochs", "marks")


def _rename_duty(old: str, new: str) -> None:
    for table in TABLES:
        op.execute(f"UPDATE {table} SET duty = '{new}' WHERE duty = '{old}'")  # noqa: S608 - constants
