"""One chaos run: some time in peace, then faults, then quiet, and the check of the history."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from sqlalchemy import select

from chaos.checker import check
from chaos.faults.kinds import KINDS_OF
from chaos.history import Operation, read
from chaos.nemesis import Nemesis
from chaos.report import Report
from chaos.system import System
from chaos.topology import TOPOLOGIES
from chaos.verdict import Final
from chaos.waiting import wait_for
from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.maintenance.compare import GAPS
from reactions.maintenance.compare import Kind as Difference
from reactions.maintenance.rebuild import Rebuild
from reactions.maintenance.verify import Verifier
from reactions.postgres.database import Database
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.tables import reaction_counts, reactions, runs
from reactions.redis.connection import connect
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.outbox_state import OutboxState

_ROW = [reactions.c[name] for name in ("post_id", "user_id", "reaction", "version")]
_COUNT = [reaction_counts.c[name] for name in ("post_id", "reaction", "count")]

Show = Callable[[str], None]

PEACE_SHARE = 0.15
PEACE_S = (5.0, 60.0)
"""The time without faults at the beginning: its figures are the base of comparison."""

MAX_QUIET_S = 300.0
"""So long after the last fault, everything must be durable and nothing pending."""


def run(
    folder: Path,
    seed: int,
    minutes: float,
    show: Show,
    *,
    minute: bool,
    only: Sequence[str] = (),
    topology: str = "single",
) -> Report:
    """Run for this many minutes, without start and end.

    Args:
        folder: where servers keep their data, and writers their history.
        minute: whether PostgreSQL may refuse connections for a whole minute.
        only: parts of names of faults; without any, all faults happen.
        topology: a name in ``TOPOLOGIES``.

    Raises:
        StackError: the system did not start, or did not recover in time.
    """
    report = Report(seed)
    show("starting")
    servers = System(folder, seed, TOPOLOGIES[topology])
    with servers as system, closing(Database(system.settings)) as database:
        duties = DutyRuns(database)
        began = time.monotonic()
        peace = min(PEACE_S[1], max(PEACE_S[0], minutes * 60 * PEACE_SHARE))
        nemesis = Nemesis(system, seed, KINDS_OF[topology], minute=minute, only=only)
        show("in peace")
        nemesis.hold(peace, peace)
        report.peace = began, time.monotonic()
        _make_faults(nemesis, duties, began + minutes * 60, show)
        report.faults, report.missed = nemesis.faults, dict(nemesis.missed)
        ended = time.monotonic()
        show("waiting for quiet")
        system.stop_writers()
        _settle(system, database)
        report.quiet_s = time.monotonic() - ended
        report.found_by_duties = _found(duties)
        report.repaired = _repaired(database)
        show("checking")
        _check(report, system)
    return report


def _make_faults(nemesis: Nemesis, duties: DutyRuns, until: float, show: Show) -> None:
    """Make salvos until then (s, monotonic clock), and blame what duties find on each."""
    drifted = 0
    while time.monotonic() < until:
        happened = nemesis.salvo()
        before, drifted = drifted, _drifted(duties)
        for fault in happened:
            fault.drift = drifted - before
            show(f"{len(nemesis.faults)}: {fault.kind}, recovered in {fault.recovery_s:.1f} s")


def _check(report: Report, system: System) -> None:
    """Check the history of all writers against the final state of the stores, without haste."""
    patient = {"database_timeout_s": MAX_QUIET_S, "redis_timeout_s": 10.0, "read_timeout_s": 60.0}
    settings = system.settings.model_copy(update=patient)
    report.history = read(path for node in system.writers for path in node.histories)
    report.redis_kills = len(system.losses)
    with closing(Database(settings)) as database:
        final = _final(settings, database, report.history)
    report.verdict = check(report.history, final, system.losses)


def _found(duties: DutyRuns) -> dict[str, int]:
    return dict(sum((Counter(total.kinds) for total in duties.totals()), Counter()))


def _repaired(database: Database) -> list[str]:
    compares = runs.c.duty.like("reconcile-%") | (runs.c.duty == "audit")
    wanted = compares & (runs.c.found > 0)
    with database.transaction() as connection:
        return list(connection.scalars(select(runs.c.detail).where(wanted).order_by(runs.c.id)))


def _drifted(duties: DutyRuns) -> int:
    """Differences that duties found. Missing caches do not count: an eviction causes them."""
    drift = {str(kind) for kind in Difference if kind not in GAPS}
    return sum(number for kind, number in _found(duties).items() if kind in drift)


def _settle(system: System, database: Database) -> None:
    """Wait until nothing is pending and loss detection ran twice. No repair command is used."""
    duties = DutyRuns(database)
    with connect(system.settings) as client:
        outbox = OutboxState(client, system.settings)
        erasures = ErasureRequests(client, system.settings)
        rebuild = Rebuild(client, database, system.settings)

        def detections() -> int:
            system.supervise()
            return next(
                (total.runs for total in duties.totals() if total.duty == "loss_detection"), 0
            )

        def quiet() -> bool:
            return (
                not outbox.pending() and not any(erasures.unfinished()) and detections() >= wanted
            )

        wait_for(lambda: detections() > 0, MAX_QUIET_S, "loss detection runs")
        wanted = detections() + 2
        wait_for(quiet, MAX_QUIET_S, "nothing is pending")
        wait_for(lambda: not rebuild.unfinished(), MAX_QUIET_S, "what Redis lost is loaded again")


def _final(settings: Settings, database: Database, history: list[Operation]) -> Final:
    """The final state of both stores."""
    final = Final()
    names = {code: name for name, code in settings.reaction_types.items()}
    with connect(settings) as client, Reactions(settings) as library:
        found = Verifier(client, database, settings).verify()
        final.pending, final.dead_letters = found.pending, found.dead_letters
        gaps = sum(found.found[kind] for kind in GAPS)
        final.differences = found.examples if found.found.total() > gaps else []
        with database.transaction() as connection:
            rows = connection.execute(select(*_ROW))
            final.rows = {(r[0], r[1]): (names.get(r[2]), r[3]) for r in rows}
            counts = connection.execute(select(*_COUNT).where(_COUNT[1] > 0, _COUNT[2] != 0))
            final.counts = {(c[0], names[c[1]]): c[2] for c in counts}
        final.shown = {
            (post, name): count
            for post in {operation.post for operation in history if operation.post}
            for name, count in library.counts(post).items()
            if count
        }
    return final
