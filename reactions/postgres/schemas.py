"""In which PostgreSQL schema the tables are: that of the settings, or the one of older versions."""

from __future__ import annotations

from sqlalchemy import Connection, text

LAST_WITHOUT = "0008"
"""The last revision that kept the tables in the schema which a role's search_path names first."""

_OLD = [f"{number:04}" for number in range(1, int(LAST_WITHOUT) + 1)]

_INSTALLED = text("""
SELECT EXISTS (
    SELECT FROM pg_class
    WHERE relnamespace = to_regnamespace(:schema) AND relname = 'alembic_version'
)
""")

# An Alembic of the application may use the same numbers, so the tables count as well. A role
# without rights in `public` must not take a database with tables there for an empty one.
_CANDIDATES = text("""
SELECT nspname, quote_ident(nspname) FROM pg_namespace AS n
WHERE (nspname = 'public' OR nspname = ANY (current_schemas(false))) AND 4 = (
    SELECT count(*) FROM pg_class WHERE relnamespace = n.oid AND (relname, relkind) IN (
        ('alembic_version', 'r'), ('reactions', 'p'), ('reaction_counts', 'r'),
        ('reaction_types', 'r')
    )
)
""")


def old_schema(connection: Connection, schema: str) -> str | None:
    """Return where an installation from before ``database_schema`` has its tables, if there is one.

    Args:
        connection: one whose search_path is that of its role.
        schema: the schema of the settings; with tables in it, nothing is old.
    """
    if connection.scalar(_INSTALLED, {"schema": schema}):
        return None
    for name, quoted in connection.execute(_CANDIDATES).all():
        version = text(f"SELECT version_num FROM {quoted}.alembic_version")  # noqa: S608
        if any(revision in _OLD for revision in connection.scalars(version)):
            return str(name)
    return None


def create_schema(connection: Connection, schema: str) -> None:
    """Create the schema if it is missing. A role without the right to needs it to exist."""
    with connection.begin():
        if connection.scalar(text("SELECT to_regnamespace(:name)"), {"name": schema}) is None:
            connection.execute(text(f'CREATE SCHEMA "{schema}"'))
