"""Runs migrations on the database of the settings, or on a given connection."""

from sqlalchemy import Connection, create_engine, pool

from alembic import context
from reactions.core.settings import Settings
from reactions.postgres.tables import metadata

LOCK_TIMEOUT = "5s"  # without the lock, a migration fails rather than block traffic


def run(connection: Connection) -> None:
    connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
    connection.commit()  # each migration is a transaction of its own
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
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
    url = Settings.from_env().database_url.get_secret_value()
    with create_engine(url, poolclass=pool.NullPool).connect() as connection:
        run(connection)
