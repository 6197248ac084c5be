"""The doctor: checks servers, workers and settings, and names a remedy for each problem.

It changes nothing. A server that does not answer is a finding too, and so is a missing right.
"""

from __future__ import annotations

from contextlib import ExitStack

from reactions.core.errors import ReactionsError
from reactions.core.settings import Settings
from reactions.ops.doctor.celery import check_beat, check_broker, check_retry_schedule
from reactions.ops.doctor.clocks import check_clocks
from reactions.ops.doctor.cluster import check_cluster
from reactions.ops.doctor.environment import check_environment
from reactions.ops.doctor.findings import Finding, State, unreachable
from reactions.ops.doctor.postgres import check_postgres, check_postgres_version
from reactions.ops.doctor.redis import check_redis, open_redis
from reactions.ops.doctor.replica import check_replica
from reactions.ops.doctor.sentinel import check_sentinels
from reactions.ops.doctor.spaces import check_spaces
from reactions.postgres.database import Database
from reactions.redis.connection import Client

__all__ = ["Finding", "State", "check_beat", "examine"]


def examine(settings: Settings) -> list[Finding]:
    """Run every check. It takes a few seconds, or longer if a server does not answer."""
    with ExitStack() as closing:
        findings = [*check_environment(), *check_retry_schedule(settings)]
        client: Client | None = None
        try:
            client = open_redis(settings, closing)
        except ReactionsError as error:
            remedy = "start it, or set REACTIONS_REDIS_URL"
            findings.append(unreachable("redis", error, remedy))
        else:
            findings += check_redis(client, settings)
            findings += check_cluster(client)
        findings += check_sentinels("redis", settings.redis_url.get_secret_value(), client)
        database = Database(settings, name="reactions-doctor")
        closing.callback(database.close)
        version = check_postgres_version(database)
        findings.append(version)
        healthy = version.state is State.OK
        if healthy:
            findings += check_postgres(database, settings)
            findings += check_replica(database, settings)
        findings += check_spaces(client, database if healthy else None, settings)
        findings += check_clocks(client, database if healthy else None, settings)
        findings += check_broker(settings)
    return findings
