"""``reactions migrate``: the schema of the database, and the reaction types."""

from __future__ import annotations

from functools import partial

import click

from reactions.cli.console import err, say
from reactions.core.constants import MAX_PARTITIONS
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings


def _bring_redis_up() -> None:
    """Copy the registry of types to Redis and raise its layout. Redis may be away: workers copy."""
    from reactions.cli.stores import open_stores
    from reactions.postgres.type_registry import TypeRegistry
    from reactions.redis.keys import keys_of
    from reactions.redis.layout import raise_layout
    from reactions.redis.type_copy import write_types

    try:
        with open_stores() as stores:
            for of_space in stores.settings.each_space():
                copy = partial(write_types, stores.client, keys_of(of_space.space))
                TypeRegistry(stores.database.of_space(of_space)).publish(copy)
            raise_layout(stores.client)
    except ReactionsUnavailable as error:
        if error.store != "redis":
            raise
        say(
            f"the types are not in Redis yet; a worker copies them. The layout of Redis stays as it"
            f" is until you run this command again: {error}"
        )


@click.command()
@click.option("--to", "revision", default="head", show_default=True, help="Alembic revision.")
@click.option(
    "--partitions",
    type=click.IntRange(1, MAX_PARTITIONS),
    help="Of the table reactions, when it is made; 16.",
)
def migrate(revision: str, partitions: int | None) -> None:
    """Upgrade the database schemas and register reaction types.

    Each space has a schema; that of a new space is made. Uses REACTIONS_DATABASE_URL,
    REACTIONS_REACTION_TYPES and REACTIONS_SPACES. Safe to run again, and while spaces are in use.
    """
    from reactions.cli.interrupts import interruptible
    from reactions.postgres.migrate import migrate_spaces

    with interruptible():
        migrate_spaces(Settings.from_env(), revision, partitions)
    if revision == "head":
        _bring_redis_up()
    err.print(f"the database is at {revision}")
