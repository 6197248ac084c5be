"""Asks PostgreSQL whether it takes writes."""

from __future__ import annotations

from enum import StrEnum

from sqlalchemy import text

from reactions.postgres.database import Database


class ServerRole(StrEnum):
    """What a server is to this session."""

    PRIMARY = "primary"
    STANDBY = "standby"
    """It follows another server, and refuses writes."""
    READ_ONLY = "read-only"
    """Its transactions are read-only by default."""


def server_role(database: Database) -> ServerRole:
    """Return the role of the server. Cost: one query.

    Raises:
        ReactionsUnavailable: the database cannot be reached.
    """
    asked = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
    standby, read_only = database.read(lambda connection: connection.execute(text(asked)).one())
    if standby:
        return ServerRole.STANDBY
    return ServerRole.READ_ONLY if read_only else ServerRole.PRIMARY
