"""Spaces beside each other on the same stores."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from reactions.core.settings import Settings
from reactions.postgres.migrate import migrate_spaces
from tests.support.engine import Engine, make_engine


@contextmanager
def own_spaces(
    settings: Settings, database_url: str, **spaces: Mapping[str, Any]
) -> Iterator[dict[str, Engine]]:
    """Name -> the engine of each space, the default one included.

    Args:
        database_url: a database of the test's own, whose schemas are migrated here.
        spaces: what each further space sets for itself.
    """
    named = Settings(database_url=database_url, spaces=spaces)
    plain = settings.model_copy(update={"database_url": named.database_url, "spaces": named.spaces})
    plain._own = named._own  # a copy is not validated: these settings may be out of bounds
    migrate_spaces(plain)
    made = {own.space: make_engine(own) for own in plain.each_space()}
    yield made
    for engine in made.values():
        engine.close()
