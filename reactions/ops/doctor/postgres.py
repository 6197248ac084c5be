"""PostgreSQL: version, role, migrations, reaction types, dead letters, and records of duties."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import text

from reactions.core.errors import LayoutMismatch, ReactionsError, TypesMismatch
from reactions.core.layout import UPGRADE
from reactions.core.settings import Settings
from reactions.core.type_registry import vocabulary
from reactions.ops.doctor.findings import Finding, Findings, State, guarded, unreachable
from reactions.postgres.database import Database, translated
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.layout import check_layout
from reactions.postgres.limits import in_force
from reactions.postgres.migrate import at_head
from reactions.postgres.partitions import names_of
from reactions.postgres.server_role import ServerRole, server_role
from reactions.postgres.type_registry import TypeRegistry

OLDEST_POSTGRES, NEWEST_POSTGRES = 15, 18
"""Major versions that the tests cover."""

SWEEP_WARNING_S = 180.0
"""Age of the last recorded sweep; sweeps run every few seconds and are recorded once a minute."""


def check_postgres_version(database: Database) -> Finding:
    """Check the version; a failure also means that the other checks cannot run."""
    check = "postgresql version"
    try:
        with database.transaction() as connection:
            number = int(connection.scalar(text("SHOW server_version_num")) or 0)
    except ReactionsError as error:
        return unreachable("postgresql", error, "start it, or set REACTIONS_DATABASE_URL")
    major = number // 10_000
    found = f"PostgreSQL {major}.{number % 10_000}"
    if major < OLDEST_POSTGRES:
        return Finding(check, State.FAILURE, f"{found} is too old", "use PostgreSQL 15 to 18")
    if major > NEWEST_POSTGRES:
        return Finding(check, State.OK, f"{found}, newer than the tested versions")
    return Finding(check, State.OK, found)


def check_postgres(database: Database, settings: Settings) -> Findings:
    """Check the role of the server, what it applies to a transaction, and what it holds."""
    yield from guarded("postgresql role", lambda: _role(database))
    yield from guarded("limits", lambda: _limits(database))
    yield from check_tables(database, settings)


def check_tables(database: Database, settings: Settings) -> Findings:
    """Check the tables of one space."""
    yield from guarded("migrations", lambda: _migrations(database, settings))
    yield from guarded("partitions", lambda: _partitions(database))
    yield from guarded("reaction types", lambda: _reaction_types(database, settings))
    yield from guarded("dead letters", lambda: _dead_letters(database))
    yield from guarded("duties", lambda: _duties(database))


def _limits(database: Database) -> Findings:
    """Read the limits in a transaction: something between here and PostgreSQL may drop them."""
    with database.transaction() as connection:
        found = in_force(connection, database.limits)
    wrong = [
        f"{name} is {found.get(name)}, not {wanted}"
        for name, wanted in database.limits.items()
        if found.get(name) != wanted
    ]
    if wrong:
        remedy = (
            "what is between this host and PostgreSQL must pass SET LOCAL on; PgBouncer does so"
            " with pool_mode transaction or session"
        )
        yield Finding("limits", State.FAILURE, f"not in force: {', '.join(wrong)}", remedy)
    else:
        timeout_s = int(found["statement_timeout"]) / 1000
        yield Finding("limits", State.OK, f"in force; a statement ends after {timeout_s:g} s")


def _role(database: Database) -> Findings:
    check, role = "postgresql role", server_role(database)
    if role is ServerRole.STANDBY:
        found = "a standby, which refuses writes"
        remedy = "let REACTIONS_DATABASE_URL name the primary, or a name that follows the primary"
        yield Finding(check, State.FAILURE, found, remedy)
    elif role is ServerRole.READ_ONLY:
        found = "its transactions are read-only"
        remedy = "see default_transaction_read_only of the server, the database and the role"
        yield Finding(check, State.FAILURE, found, remedy)
    else:
        yield Finding(check, State.OK, "primary")


def _migrations(database: Database, settings: Settings) -> Findings:
    with translated():
        current = at_head(settings)
    if current:
        yield Finding("migrations", State.OK, f"at head, in schema {settings.database_schema}")
        return
    try:
        revision = check_layout(database)
    except LayoutMismatch as error:
        found = f"schema {settings.database_schema}: {error.found}"
        yield Finding("migrations", State.FAILURE, found, error.remedy)
    else:
        found = f"revision {revision} of a newer version, which this one may run beside"
        yield Finding("migrations", State.WARNING, found, UPGRADE)


def _partitions(database: Database) -> Findings:
    """Say so if a change of their number has not ended: each changed row is written twice."""
    with database.transaction() as connection:
        present, following = names_of(connection), names_of(connection, "reactions_next")
        old = names_of(connection, "reactions_old")
    if following:
        found = f"a change of their number, to {len(following)}, has not ended"
        remedy = (
            f"run: reactions partitions {len(following)}, or reactions partitions {len(present)} to"
            " give it up"
        )
        yield Finding("partitions", State.WARNING, found, remedy)
    elif old:
        remedy = f"run: reactions partitions {len(present)}"
        yield Finding("partitions", State.WARNING, "the old table is still there", remedy)


def _reaction_types(database: Database, settings: Settings) -> Findings:
    registered = TypeRegistry(database).all()
    try:
        vocabulary(settings, registered)
    except TypesMismatch as error:
        found, _, remedy = str(error).partition("; run: ")
        remedy = f"run: {remedy}" if remedy else "processes do not start like this; do as it says"
        yield Finding("reaction types", State.FAILURE, found, remedy)
    else:
        yield Finding("reaction types", State.OK, f"{len(registered)} registered")


def _dead_letters(database: Database) -> Findings:
    number = DeadLetters(database).count()
    if number:
        found = f"PostgreSQL refused {number:,} changes"
        remedy = "`reactions deadletters` shows the reasons; with --replay it tries them again"
        yield Finding("dead letters", State.WARNING, found, remedy)
    else:
        yield Finding("dead letters", State.OK, "none")


def _duties(database: Database) -> Findings:
    """Beat and a worker run if the most frequent duty, the sweep, has succeeded lately."""
    totals = {total.duty: total for total in DutyRuns(database).totals()}
    ended = totals["sweep"].succeeded_at if "sweep" in totals else None
    remedy = "start beat, and a worker for `maintenance`: celery -A reactions.tasks beat"
    if ended is None:
        yield Finding("duties", State.WARNING, "no sweep has been recorded yet", remedy)
        return
    age_s = (datetime.now(UTC) - ended).total_seconds()
    found = f"the last sweep was recorded {age_s:,.0f} s ago"
    if age_s <= SWEEP_WARNING_S:
        yield Finding("duties", State.OK, found)
    else:
        yield Finding("duties", State.WARNING, found, remedy)
