"""``reactions migrate``: the schema of the database, and the reaction types."""

from __future__ import annotations

import click

from reactions.cli.console import err
from reactions.core.settings import Settings


@click.command()
@click.option("--to", "revision", default="head", show_default=True, help="Alembic revision.")
def migrate(revision: str) -> None:
    """Upgrade the database schema and register reaction types.

    Uses REACTIONS_DATABASE_URL and REACTIONS_REACTION_TYPES. Safe to run again.
    """
    from reactions.postgres.migrate import migrate as run_migrations

    run_migrations(Settings.from_env(), revision)
    err.print(f"the database is at {revision}")
