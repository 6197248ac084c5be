"""The layout of PostgreSQL is its revision. A process checks when it starts that it works with it.

Older code works on a newer schema (docs/migrations.md), until a migration destroys something. Such
a migration says with ``mark_oldest()`` of ``postgres/migrate.py`` which versions still run.
"""

from __future__ import annotations

import logging
import re
from functools import cache

from sqlalchemy import Connection, text

from reactions.core import resources
from reactions.core.errors import LayoutMismatch, ReactionsError, short
from reactions.core.layout import UPGRADE
from reactions.core.settings import Settings
from reactions.postgres.database import Database

log = logging.getLogger(__name__)

MIGRATE = "run: reactions migrate"
"""What to do about a schema that is too old."""

_OURS = re.compile(r"\d{4}")
_OLDEST = re.compile(r"oldest=(\d{4})")

_DESCRIPTION = text("""
SELECT found IS NOT NULL, obj_description(found, 'pg_class')
FROM to_regclass('alembic_version') AS found
""")
_REVISION = text("SELECT max(version_num) FROM alembic_version")


@cache
def known_revisions() -> frozenset[str]:
    """Return the revisions of this version; the names of the files begin with them."""
    files = (resources.root_file("alembic") / "versions").glob("[0-9]*.py")
    return frozenset(file.name[:4] for file in files)


def oldest_comment(revision: str) -> str:
    """Return the comment of ``alembic_version`` for the oldest revision whose code may run."""
    return f"oldest={revision}"


def check_layout(database: Database) -> str:
    """Check that this version works with the tables, and return their revision.

    Raises:
        LayoutMismatch: it does not.
        ReactionsUnavailable: PostgreSQL cannot serve.
    """
    current, description = database.read(_read)
    head = max(known_revisions())
    if current is None:
        raise LayoutMismatch("PostgreSQL has no tables of reactions yet", MIGRATE)
    if current == head:
        return current
    if current in known_revisions():
        raise LayoutMismatch(
            f"PostgreSQL has revision {current}, and this version needs {head}", MIGRATE
        )
    if not _OURS.fullmatch(current):
        raise LayoutMismatch(
            f"the alembic_version of the schema is {short(current)}, which no version of reactions"
            " has",
            "set REACTIONS_DATABASE_SCHEMA to the schema of reactions",
        )
    oldest = _OLDEST.search(description)
    if oldest and oldest[1] > head:
        raise LayoutMismatch(
            f"PostgreSQL has revision {current}, which needs a version that knows {oldest[1]};"
            f" this one knows up to {head}",
            UPGRADE,
        )
    return current


def check_at_start(settings: Settings, name: str) -> None:
    """Check the tables over a connection of its own; log that PostgreSQL did not answer.

    Args:
        name: the name of the connection in ``pg_stat_activity``.

    Raises:
        LayoutMismatch: this version does not work with the tables.
    """
    database = Database(settings, name=name, timeout_s=settings.read_timeout_s)
    try:
        check_layout(database)
    except LayoutMismatch:
        raise
    except ReactionsError as error:
        log.warning("the layout of PostgreSQL is not checked: %s", error)
    finally:
        database.close()


def _read(connection: Connection) -> tuple[str | None, str]:
    """Return the revision, None if there are no tables, and the comment of its table."""
    exists, description = connection.execute(_DESCRIPTION).one()
    return (connection.scalar(_REVISION) if exists else None), description or ""
