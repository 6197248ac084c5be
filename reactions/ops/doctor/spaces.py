"""What each space has of its own: tables, reaction types, dead letters, changes and duties."""

from __future__ import annotations

from dataclasses import replace

from reactions.core.settings import Settings
from reactions.ops.doctor.findings import Findings
from reactions.ops.doctor.postgres import check_tables
from reactions.ops.doctor.redis import check_pending
from reactions.postgres.database import Database
from reactions.redis.connection import Client


def check_spaces(client: Client | None, database: Database | None, settings: Settings) -> Findings:
    """Check every space but that of the settings. A finding begins with the name of the space.

    Args:
        client: None if Redis does not answer.
        database: None if PostgreSQL does not answer.
    """
    for of_space in settings.each_space():
        if of_space.space == settings.space:
            continue
        findings: list[Findings] = []
        if client is not None:
            findings.append(check_pending(client, of_space))
        if database is not None:
            findings.append(check_tables(database.of_space(of_space), of_space))
        for found in findings:
            for finding in found:
                yield replace(finding, check=f"{of_space.space}: {finding.check}")
