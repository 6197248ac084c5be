"""The configured stores, for the commands that work on them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

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
def open_stores() -> Iterator[Stores]:
    """Open the stores of the environment's settings, and close them at the end.

    Raises:
        InvalidSettings: a setting cannot be used.
        ReactionsUnavailable: a node of a Redis Cluster does not answer.
    """
    from reactions.postgres.database import Database
    from reactions.redis.connection import connect

    settings = Settings.from_env()
    database = Database(settings, name="reactions-cli")
    with connect(settings) as client:
        yield Stores(client, database, settings)
    database.close()
