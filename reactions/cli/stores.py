"""The configured stores, for the commands that work on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from reactions.cli.options import chosen_space
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings

if TYPE_CHECKING:
    from reactions.postgres.database import Database
    from reactions.redis.connection import Client


class Stores(NamedTuple):
    """What the classes of ``maintenance`` and ``ops`` take, in their order."""

    client: Client
    database: Database
    settings: Settings


@contextmanager
def open_stores(check_types: bool = True) -> Iterator[Stores]:
    """Open the stores of the environment's settings, and close them at the end.

    They are those of the space that the command was given with ``--space``.

    The settings name every type of the registry, also those that the environment does not name.

    Args:
        check_types: refuse a configuration that contradicts the registry of reaction types.

    Raises:
        InvalidSettings: a setting cannot be used.
        LayoutMismatch: this version does not work with what a store holds.
        TypesMismatch: the configured reaction types contradict the registry.
        ReactionsUnavailable: a node of a Redis Cluster does not answer.
    """
    from reactions.cli.interrupts import interruptible
    from reactions.postgres.database import Database
    from reactions.redis.connection import connect
    from reactions.redis.layout import check_layout

    settings = Settings.from_env().of_space(chosen_space())
    database = Database(settings, name="reactions-cli")
    with interruptible():
        settings = _checked(settings, database, check_types)
        with connect(settings) as client:
            with suppress(ReactionsUnavailable):  # the command itself says what it cannot do
                check_layout(client)
            yield Stores(client, database, settings)
    database.close()


def _checked(settings: Settings, database: Database, check_types: bool) -> Settings:
    """Check the tables, and name every type of the registry if the types are to be checked."""
    from reactions.core.type_registry import vocabulary
    from reactions.postgres.layout import check_layout
    from reactions.postgres.type_registry import TypeRegistry

    try:
        check_layout(database)
        if not check_types:
            return settings
        known = vocabulary(settings, TypeRegistry(database).all())
    except ReactionsUnavailable:
        return settings  # the command itself says what it cannot do without PostgreSQL
    return settings.model_copy(update={"reaction_types": known.names})
