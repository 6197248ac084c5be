"""The standby that answers lists: whether it is one, of this server, and how far it is behind."""

from __future__ import annotations

from sqlalchemy import text

from reactions.core.settings import Settings
from reactions.ops.doctor.findings import Finding, Findings, State, guarded
from reactions.postgres.database import Database
from reactions.postgres.replica import NoReplica, Replica
from reactions.postgres.server_role import ServerRole, server_role

MAX_LAG_S = 10.0
"""A standby that is further behind answers few lists: the primary answers the others."""

_WRITTEN = text("SELECT pg_current_wal_lsn()::text")

_REPLAYED = text("""
SELECT pg_wal_lsn_diff(CAST(:written AS pg_lsn), pg_last_wal_replay_lsn())::bigint,
    coalesce(extract(epoch FROM now() - pg_last_xact_replay_timestamp()), 0)::float8,
    pg_is_wal_replay_paused()
""")


def check_replica(database: Database, settings: Settings) -> Findings:
    """Check the server of replica_url; yields nothing if there is none."""
    if settings.replica_url is not None:
        yield from guarded("postgresql replica", lambda: _replica(database, settings))


def _replica(database: Database, settings: Settings) -> Findings:
    check = "postgresql replica"
    replica = Replica(settings, database, settings.database_timeout_s)
    try:
        replica.check_identity()
        if server_role(replica.database) is not ServerRole.STANDBY:
            remedy = "let REACTIONS_REPLICA_URL name a standby, or unset it"
            found = "it is a primary, so it takes no load off the primary"
            yield Finding(check, State.WARNING, found, remedy)
            return
        ((written,),) = database.execute_at_once(_WRITTEN)
        (replayed,) = replica.database.execute_at_once(_REPLAYED, {"written": written})
    except NoReplica as error:
        found, _, remedy = str(error).partition("; ")
        yield Finding(check, State.FAILURE, found, remedy)
        return
    finally:
        replica.close()
    yield _lag(check, *replayed)


def _lag(check: str, behind: int, since_s: float, paused: bool) -> Finding:
    """Judge the lag. An idle primary writes nothing, so a time alone says nothing."""
    found = f"a standby, {max(0, behind):,} bytes behind"
    if paused:
        return Finding(
            check,
            State.WARNING,
            f"{found}; it replays nothing: its replay is paused",
            "on the standby: SELECT pg_wal_replay_resume()",
        )
    if behind > 0 and since_s > MAX_LAG_S:
        return Finding(
            check,
            State.WARNING,
            f"{found}; it replayed its last transaction {since_s:,.0f} s ago",
            "see pg_stat_replication on the primary; lists go to the primary meanwhile",
        )
    return Finding(check, State.OK, found)
