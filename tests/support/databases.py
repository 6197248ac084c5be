"""Creates and drops databases of the test server."""

from __future__ import annotations

from sqlalchemy import create_engine, make_url, text


def execute_admin(server_url: str, statement: str) -> None:
    """Execute a statement outside a transaction, in the maintenance database template1."""
    url = make_url(server_url.replace("postgresql://", "postgresql+psycopg2://", 1))
    engine = create_engine(url.set(database="template1"), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(statement))
    engine.dispose()
