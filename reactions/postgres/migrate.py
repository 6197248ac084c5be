"""Migrates a database to the schema of this version."""

from __future__ import annotations

import re
from collections.abc import Mapping

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import RevisionError
from alembic.util import CommandError
from sqlalchemy import Connection, pool, text

from alembic import command, context, op
from reactions.core import resources
from reactions.core.constants import DEFAULT_SPACE
from reactions.core.errors import InvalidArgument, InvalidSettings, ReactionsError, short
from reactions.core.settings import Settings
from reactions.postgres.address import parameters_of
from reactions.postgres.database import Database, translated
from reactions.postgres.engine import make_engine
from reactions.postgres.layout import oldest_comment
from reactions.postgres.limits import search_path
from reactions.postgres.partitions import (
    DEFAULT_PARTITIONS,
    check_partitions,
    first_names,
    index_of,
    is_broken,
    names_of,
)
from reactions.postgres.schemas import create_schema, old_schema
from reactions.postgres.type_registry import TypeRegistry


class PartitionsMoving(ReactionsError):
    """The number of partitions is being changed, so no migration can run."""


LOCK_TIMEOUT = "'5s'"
"""Without the lock, a migration fails rather than block traffic. A CONCURRENTLY waits for longer,
because it blocks nobody meanwhile."""

REVISION = re.compile(r"[A-Za-z0-9_+-]{1,40}")
_REVISIONS = "head, base, or one of alembic/versions"


def migrate_spaces(
    settings: Settings, revision: str = "head", partitions: int | None = None
) -> None:
    """Migrate every space, as ``migrate`` does; the schema of a new space is made.

    Processes may use the other spaces meanwhile: each has tables of its own.
    """
    for of_space in settings.each_space():
        migrate(of_space, revision, partitions)


def migrate(settings: Settings, revision: str = "head", partitions: int | None = None) -> None:
    """Bring one space up or down to a revision; at "head", register its reaction types.

    Waits at most 5 s for a lock and then raises, so that other statements do not queue behind it.
    Run it again in that case.

    Args:
        partitions: of ``reactions``, where there are no tables yet: 1 to 256, or None for 16.

    Raises:
        InvalidArgument: the revision does not exist, or the tables have another number of
            partitions.
        PartitionsMoving: their number is being changed.
        InvalidSettings: the schema has a revision that is not one of these migrations.
        ReactionsUnavailable: the database cannot be reached, or the role lacks a privilege.
        TypesMismatch: the configured reaction types contradict the registry.
    """
    if not REVISION.fullmatch(revision):
        raise InvalidArgument("revision", _REVISIONS, revision)
    with translated(), open_connection(settings) as connection:
        newer = _newer(connection)
        _check_partitions(connection, partitions)
        moving = names_of(connection, "reactions_next")
    up = revision == "head" or revision in newer
    if moving and (newer or not up):
        raise PartitionsMoving(
            f"the number of partitions is being changed to {len(moving)}, and a migration would"
            f" miss the copy; first run: reactions partitions {len(moving)}"
        )
    with translated(), open_connection(settings, down=not up) as connection:
        config = config_for(connection)
        config.attributes["partitions"] = partitions
        create_schema(connection, settings.database_schema)
        try:
            (command.upgrade if up else command.downgrade)(config, revision)
        except CommandError:
            raise InvalidArgument("revision", _REVISIONS, revision) from None
    if revision == "head":
        database = Database(settings, name="reactions-migrate")
        try:
            registry = TypeRegistry(database)
            if settings.names_types or not registry.all():  # the default is for an empty registry
                registry.register(settings.reaction_types)
        finally:
            database.close()


def _check_partitions(connection: Connection, wanted: int | None) -> None:
    if wanted is None:
        return
    check_partitions(wanted)
    present = len(names_of(connection))
    if present not in (0, wanted):
        raise InvalidArgument(
            "partitions",
            f"{present}, which the tables have (reactions partitions changes it)",
            wanted,
        )


def at_head(settings: Settings) -> bool:
    """Tell whether the database has the schema of this version."""
    with open_connection(settings) as connection:
        return _current(connection) == _scripts().get_current_head()


def config_for(connection: Connection | None = None) -> Config:
    """Return a configuration of Alembic without a file, for this connection."""
    config = Config()
    config.set_main_option(
        "script_location", str(resources.root_file("alembic")).replace("%", "%%")
    )
    config.attributes["connection"] = connection
    return config


def open_connection(settings: Settings, *, down: bool = False) -> Connection:
    """Connect, for migrations: statements may take long, but they wait for a lock at most 5 s.

    They see the tables of ``database_schema``, and those of an older installation. Tables of the
    same names elsewhere are not ours.

    Args:
        down: also see the schema ``public``, to which the way down from 0009 leads.
    """
    schema = settings.database_schema
    old = None
    if settings.space == DEFAULT_SPACE:  # older versions had no other
        with _connect(settings, {}) as connection:
            old = old_schema(connection, schema)
    also = [old] if old else ["public"] if down else []
    return _connect(settings, {"search_path": search_path(*dict.fromkeys([schema, *also]))})


def _connect(settings: Settings, found: Mapping[str, str]) -> Connection:
    engine = make_engine(
        parameters_of(settings.database_url.get_secret_value()),
        "reactions-migrate",
        settings.database_timeout_s,
        {"lock_timeout": LOCK_TIMEOUT, **found},
        poolclass=pool.NullPool,
    )
    return engine.connect()


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(config_for())


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _newer(connection: Connection) -> list[str]:
    """Return the revisions that the database lacks, newest first.

    Raises:
        InvalidSettings: the database has a revision that is not one of these migrations.
    """
    current = _current(connection) or "base"
    try:
        return [script.revision for script in _scripts().iterate_revisions("head", current)]
    except RevisionError:
        if current == "base":
            raise
        raise InvalidSettings(
            f"database_schema names a schema whose alembic_version is {short(current)}, which this"
            " version does not know: it belongs to a newer version, which you install, or to"
            " another program, beside which you set another REACTIONS_DATABASE_SCHEMA"
        ) from None


def create_index(name: str, columns: str, where: str) -> None:
    """Create an index on every partition, in a migration, without blocking writes.

    Builds each index CONCURRENTLY and attaches it. A second run continues an interrupted one.
    """
    with op.get_context().autocommit_block():
        op.execute(f"CREATE INDEX IF NOT EXISTS {name} ON ONLY reactions {columns} WHERE {where}")
        for partition in _partitions():
            index, table = index_of(name, partition), qualified(partition)
            if not context.is_offline_mode() and is_broken(op.get_bind(), index):
                op.execute(f"DROP INDEX CONCURRENTLY {qualified(index)}")
            op.execute(
                f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} "
                f"ON {table} {columns} WHERE {where}"
            )
            op.execute(f"ALTER INDEX {name} ATTACH PARTITION {index}")


def chosen_partitions() -> int:
    """Return how many partitions the first migration makes, 1 to 256.

    Raises:
        InvalidArgument: ``partitions`` of `migrate`, or ``alembic -x partitions=``, is not that.
    """
    written = context.get_x_argument(as_dictionary=True).get("partitions")
    given = context.config.attributes.get("partitions") or written
    return DEFAULT_PARTITIONS if given is None else check_partitions(given)


def mark_oldest(revision: str | None) -> None:
    """Say in a migration which processes may still run: those of this revision, or of later ones.

    For a migration that destroys what older code uses. Its ``downgrade()`` writes the mark that was
    there before; None for none.
    """
    comment = "NULL" if revision is None else f"'{oldest_comment(revision)}'"
    op.execute(f"COMMENT ON TABLE alembic_version IS {comment}")


def qualified(name: str) -> str:
    """Return a table or an index with its schema, in a migration.

    A CONCURRENTLY stands alone, so ``SET LOCAL search_path`` cannot go before it.
    """
    if context.is_offline_mode():
        return name
    schema = text(
        "SELECT nspname FROM pg_class JOIN pg_namespace AS n ON n.oid = relnamespace"
        " WHERE pg_class.oid = to_regclass(:name)"
    )
    return f'"{op.get_bind().scalar(schema, {"name": name})}".{name}'


def _partitions() -> list[str]:
    """Return the names of the partitions that a migration finds."""
    if context.is_offline_mode():
        return first_names(chosen_partitions())
    return names_of(op.get_bind())
