"""Runs migrations on the database of the settings, or on a given connection."""

from sqlalchemy import Connection

from alembic import context
from reactions.core.settings import Settings
from reactions.postgres.limits import search_path
from reactions.postgres.migrate import open_connection
from reactions.postgres.schemas import create_schema
from reactions.postgres.tables import metadata


def run(connection: Connection) -> None:
    """Run migrations; search_path finds the version table too, wherever 0009 moves it."""
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,  # each migration is a transaction of its own
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


def write(schema: str) -> None:
    """Write the SQL of migrations for somebody who runs it with psql."""
    context.configure(dialect_name="postgresql", literal_binds=True, target_metadata=metadata)
    new = context.get_starting_revision_argument() in (None, "base")
    path = search_path(schema) if new else search_path(schema, "public")
    with context.begin_transaction():
        context.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        context.execute(f"SET search_path = {path}")
        context.run_migrations()


if context.is_offline_mode():
    write(Settings.from_env().database_schema)
elif (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    settings = Settings.from_env()
    options = context.config.cmd_opts
    down = options is not None and options.cmd[0].__name__ == "downgrade"
    with open_connection(settings, down=down) as connection:
        create_schema(connection, settings.database_schema)
        run(connection)
