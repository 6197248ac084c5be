"""What an operator does about a PostgreSQL that does not serve: one remedy for each cause."""

from __future__ import annotations

import re

_CAUSES: tuple[tuple[str, str], ...] = (
    ("certificate", "sslrootcert of database_url must name the CA, and the host must match the"
     " certificate"),
    ("no password supplied", "the server wants a password: give database_url one, as in"
     " postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
    ("password authentication failed|authentication failed for user",
     "the server refuses the user or the password of database_url; characters such as @ : / % must"
     " be percent-encoded"),
    ("no pg_hba.conf entry.*no encryption", "the server requires TLS: database_url needs"
     " sslmode=verify-full and sslrootcert"),
    ("no pg_hba.conf entry", "pg_hba.conf of the server does not let this host, user and database"
     " in"),
    ("server does not support SSL", "the server does not use TLS: turn its option ssl on, or take"
     " sslmode out of database_url"),
    ("invalid response to SSL negotiation", "what listens there is no PostgreSQL: correct host and"
     " port of database_url"),
    ("starting up|not yet accepting connections|recovery state has not been yet reached",
     "the server has just started and recovers its data; wait, its log says how far it is"),
    ("hot standby mode is disabled", "the server is a standby that takes no connections: let"
     " database_url name the primary, or a name that follows the primary"),
    ("shutting down|terminating connection due to administrator", "the server is being stopped;"
     " calls work again once it has started"),
    ('database ".*" does not exist', "database_url names another database, or it is not created"
     " yet: createdb, then reactions migrate"),
    ('role ".*" does not exist', "database_url names a user that the server does not know;"
     " deploy/roles.sql creates the roles"),
    ('relation ".*" does not exist|function .* does not exist',
     "database_url names another database, or its tables are not those of this version:"
     " reactions migrate"),
    ("too many clients|remaining connection slots|too many connections", "it has too many"
     " connections: raise max_connections, or lower REACTIONS_DATABASE_CONNECTIONS"),
    ("Connection refused|No such file or directory", "nobody listens there: start the server, or"
     " correct database_url"),
    ("could not translate host name", "the host of database_url has no address: correct it, or the"
     " name server"),
)  # fmt: skip


def advice(reason: str) -> str:
    """Return the remedy for the first line of a message of the driver, "" if there is none.

    The further lines are of other tries, for example one without TLS, and would mislead.
    """
    for pattern, remedy in _CAUSES:
        if re.search(pattern, reason):
            return remedy
    return ""
