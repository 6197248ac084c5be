"""``reactions migrate``: the schema of the database, and the reaction types."""

from __future__ import annotations

from functools import partial

import click

from reactions.cli.console import err
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings


def _copy_types() -> None:
    """Copy the registry of types to Redis; workers do it too, so Redis may be away."""
    from reactions.cli.stores import open_stores
    from reactions.postgres.type_registry import TypeRegistry
    from reactions.redis.type_copy import write_types

    try:
        with open_stores() as stores:
            TypeRegistry(stores.database).publish(partial(write_types, stores.client))
    except ReactionsUnavailable as error:
        if error.store != "redis":
            raise
        err.print(f"the types are not in Redis yet; a worker copies them: {error}", markup=False)


@click.command()
@click.option("--to", "revision", default="head", show_default=True, help="Alembic revision.")
def migrate(revision: str) -> None:
    """Upgrade the database schema and register reaction types.

    Uses REACTIONS_DATABASE_URL and REACTIONS_REACTION_TYPES. Safe to run again.
    """
    from reactions.cli.interrupts import interruptible
    from reactions.postgres.migrate import migrate as run_migrations

    with interruptible():
        run_migrations(Settings.from_env(), revision)
    if revision == "head":
        _copy_types()
    err.print(f"the database is at {revision}")
