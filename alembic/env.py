"""Runs migrations on the database of the settings, or on a given connection."""

from sqlalchemy import Connection

from alembic import context
from reactions.core.settings import Settings
from reactions.postgres.migrate import open_connection
from reactions.postgres.tables import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,  # each migration is a transaction of its own
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


if context.is_offline_mode():
    context.configure(dialect_name="postgresql", literal_binds=True, target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
elif (given := context.config.attributes.get("connection")) is not None:
    run(given)
else:
    with open_connection(Settings.from_env()) as connection:
        run(connection)
