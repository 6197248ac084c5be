"""The commands of those who run it: what is in the stores, whether it is right, and what to do."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TextIO

import click
from rich.table import Table
from rich.text import Text

from reactions.cli.console import as_json, bars, err, finish, out, print_report
from reactions.core.constants import MAX_ID
from reactions.core.settings import Settings

if TYPE_CHECKING:
    from reactions.postgres.database import Database
    from reactions.redis.connection import Client

post_id = click.IntRange(1, MAX_ID)


class Stores(NamedTuple):
    """What every command here works with."""

    client: Client
    database: Database
    settings: Settings


@contextmanager
def stores() -> Iterator[Stores]:
    """The configured ones."""
    from reactions.postgres.database import Database
    from reactions.redis.connection import connect

    settings = Settings.from_env()
    database = Database(settings, name="reactions-cli")
    with connect(settings) as client:
        yield Stores(client, database, settings)
    database.close()


@click.command()
@click.option("--repair", is_flag=True, help="Make right what differs.")
@click.option("--post", "posts", type=post_id, multiple=True, help="Only this post.")
@as_json
def verify(repair: bool, posts: tuple[int, ...], as_json: bool) -> None:
    """Compare rows, counts table and Redis of the configured stack, knowing what is pending.

    Reads only, unless --repair is given. Exit code 1 when something is wrong and not repaired, or
    could not be decided. What is only missing from the cache is named, and no drift.
    """
    from reactions.maintenance.verify import Verifier

    with stores() as at, bars() as progress:
        found = Verifier(*at, repair=repair).verify(
            lambda looked_at: progress("verifying", looked_at, looked_at), list(posts) or None
        )
    result = asdict(found) | {"found": dict(found.found)}
    for example in result.pop("examples"):
        err.print(example, style="red")
    print_report(result, found.holds)
    finish(result, as_json, found.holds)


@click.command()
@click.argument("post", type=post_id)
@as_json
def inspect(post: int, as_json: bool) -> None:
    """Show what both stores have of POST: tier, keys with TTL and bytes, counts, pending, lag."""
    from reactions.ops.inspection import Inspector

    with stores() as at:
        found = Inspector(*at).inspect(post)
    result = asdict(found) | {"bytes": found.bytes}
    shown = {name: round(v, 1) if isinstance(v, float) else v for name, v in result.items()}
    del shown["keys"]
    print_report(shown, None)
    table = _table("key", "TTL", "bytes")
    for key in found.keys:
        life = "none" if key.ttl_s is None else _duration(key.ttl_s)
        table.add_row(key.name, life, f"{key.bytes:,}")
    out.print(table)
    finish(result, as_json, True)


@click.command()
@click.option("--post", "posts", type=post_id, multiple=True, help="Only this post.")
@as_json
def rebuild(posts: tuple[int, ...], as_json: bool) -> None:
    """Cache what was active within a day and is not, the most recent first; or the posts given.

    After a loss of Redis, workers and beat do this by themselves. Safe at any time: each post is
    loaded under the fence, and reads and writes go on.
    """
    from reactions.maintenance.recovery import Recovery

    looked_at = cached = 0
    with stores() as at, bars() as progress:
        recovery = Recovery(*at)
        if posts:
            looked_at, cached = len(posts), recovery.load(posts)
        else:
            recovery.ask_for_rebuild()
            while recovery.unfinished():
                run = recovery.rebuild(budget_s=1.0)
                if run is None:  # a worker is at it: it does the same
                    time.sleep(0.5)
                else:
                    looked_at, cached = looked_at + run.looked_at, cached + run.repaired
                progress("rebuilding", looked_at, looked_at)
    result = {"looked_at": looked_at, "cached": cached}
    print_report(result, None)
    finish(result, as_json, True)


@click.command()
@click.option("--replay", is_flag=True, help="Try to record them again.")
@click.option("--id", "ids", type=click.IntRange(1, MAX_ID), multiple=True, help="Only this one.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@as_json
def deadletters(replay: bool, ids: tuple[int, ...], limit: int, as_json: bool) -> None:
    """List the changes that PostgreSQL refused, with the reason; or try them again.

    Exit code 1 when --replay leaves some that are refused still.
    """
    from reactions.maintenance.dead_letters import DeadLetterReplay
    from reactions.postgres.dead_letters import DeadLetters

    with stores() as (client, database, settings):
        found = DeadLetters(database).list(limit, ids)
        replays = DeadLetterReplay(client, database, settings)
        done = replays.replay(found) if replay else None
    table = _table("id", "post", "user", "type:version", "reason", "refused at")
    for letter in found:
        written = letter.created_at.isoformat(" ", "seconds")
        table.add_row(
            str(letter.id), letter.post, letter.user, letter.value, letter.reason, written
        )
    out.print(table if found else "no dead letters")
    result: dict[str, object] = {"letters": [asdict(letter) for letter in found]}
    if done:
        result |= asdict(done)
        out.print(f"{done.recorded} recorded, {len(done.refused)} refused")
        for line in done.refused:
            err.print(line, style="red")
    finish(result, as_json, not (done and done.refused))


@click.command()
@click.argument("source", type=click.File(), default="-")
@click.option(
    "--before",
    type=click.DateTime(["%Y-%m-%dT%H:%M:%S%z"]),
    required=True,
    help="When all writes began to come here too, as 2026-01-31T12:00:00Z; a later reaction counts"
    " as one of then.",
)
@as_json
def backfill(source: TextIO, before: datetime, as_json: bool) -> None:
    """Take over the reactions of an older table: CSV from SOURCE, or standard input.

    The header is post_id,user_id,type,at_us; at_us is in microseconds since 1970; the order is
    post_id, at_us DESC, user_id. Whatever is recorded here is newer, so it is safe again, and
    while reactions come in. docs/adoption.md has the whole way.
    """
    from reactions.maintenance.backfill import Backfill

    with stores() as at, bars() as progress:
        work = Backfill(*at)
        try:
            done = work.run(
                source,
                round(before.timestamp() * 1_000_000),
                lambda lines: progress("taking over", lines, lines),
            )
        except Exception:
            if post := work.done.reached:
                err.print(f"durable up to post {post}: go on with it; again is safe")
            raise
    result = asdict(done) | {"refused": len(done.refused)}
    print_report(result, None)
    finish(result, as_json, True)


@click.command()
@as_json
def duties(as_json: bool) -> None:
    """Show when each duty of Beat last succeeded, what it looked at, found and repaired.

    Of sweeps, those of a minute are recorded together, as one run of each worker process.
    """
    from reactions.postgres.duty_runs import DutyRuns

    with stores() as at:
        log = DutyRuns(at.database)
        totals, last = log.totals(), log.last()
    table = _table("duty", "succeeded", "runs", "failed", "looked at", "found", "repaired", "last")
    now = datetime.now(UTC)
    for total in totals:
        done = total.succeeded_at
        ago = "never" if done is None else f"{_duration((now - done).total_seconds())} ago"
        kinds = ", ".join(f"{kind} {number:,}" for kind, number in sorted(total.kinds.items()))
        detail = last[total.duty].detail if total.duty in last else ""
        figures = (f"{n:,}" for n in (total.runs, total.failures, total.looked_at))
        name = "sweep (recorded once a minute)" if total.duty == "sweep" else total.duty
        table.add_row(name, ago, *figures, kinds or "-", f"{total.repaired:,}", detail[:80])
    out.print(table if totals else "no duty has run yet; is beat running, and a worker?")
    finish({"duties": [asdict(total) for total in totals]}, as_json, True)


@click.command()
@as_json
def rising(as_json: bool) -> None:
    """List the posts on their way to become viral, with the time to the threshold as they grow."""
    from reactions.maintenance.virality import Virality

    with stores() as at:
        found = Virality(*at).rising()
    table = _table("post", "reactions", "a second", "viral in", "listed since")
    for post in found:
        when = "-" if math.isinf(post.threshold_in_s) else _duration(post.threshold_in_s)
        since = datetime.fromtimestamp(post.since_us / 1e6, UTC).isoformat(" ", "seconds")
        table.add_row(str(post.post_id), f"{post.reactions:,}", f"{post.per_s:,.2f}", when, since)
    out.print(table if found else "no post is on its way")
    rows = [asdict(post) for post in found]
    for row in rows:
        if math.isinf(row["threshold_in_s"]):
            row["threshold_in_s"] = None  # JSON has no infinity
    finish({"rising": rows}, as_json, True)


@click.command()
@click.option("--port", type=click.IntRange(1, 65_535), default=9_106, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--once", is_flag=True, help="Print them, and end.")
@click.option(
    "--only",
    type=click.Choice(["stores", "processes"]),
    help="One half: the stores once, the processes on each machine that has some.",
)
def metrics(port: int, host: str, once: bool, only: str | None) -> None:
    """Serve what Prometheus scrapes. Needs the extra `metrics`.

    Of the stores: duties, outbox, tiers, memory, queues. Of the processes of this machine, where
    PROMETHEUS_MULTIPROC_DIR names their folder: what web processes and workers count.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest, start_http_server

        from reactions.core.instruments import processes
        from reactions.ops.metrics import StoresCollector
    except ImportError as error:
        raise click.ClickException("run: pip install '.[metrics]' in a checkout") from error

    registry = CollectorRegistry()
    with stores() as at:
        collector = StoresCollector(*at)
        if only != "processes":
            registry.register(collector)
        if only != "stores":
            processes(registry)
        if once:
            click.echo(generate_latest(registry).decode(), nl=False)
            if collector.failure is not None:
                raise collector.failure
            return
        _, thread = start_http_server(port, host, registry)
        err.print(f"serving http://{host}:{port}/metrics; press Ctrl-C to stop")
        try:
            thread.join()
        except KeyboardInterrupt:
            err.print("stopping")


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check whether servers, workers and settings are as they should be, and say what to do.

    Changes nothing. Exit code 1 when something fails; a warning is none.
    """
    from reactions.ops.doctor import State, examine

    colours = {State.OK: "green", State.WARNING: "yellow", State.FAILURE: "bold red"}
    findings = examine(Settings.from_env())
    table = _table("check", "", "found")
    for finding in findings:
        said = Text(finding.found)
        if finding.remedy:
            said.append(f"\n-> {finding.remedy}", "italic")
        table.add_row(finding.check, Text(finding.state, colours[finding.state]), said)
    out.print(table)
    failures = [finding for finding in findings if finding.state is State.FAILURE]
    warnings = [finding for finding in findings if finding.state is State.WARNING]
    out.print(f"{len(failures)} failures, {len(warnings)} warnings in {len(findings)} checks")
    rows = [asdict(finding) for finding in findings]
    finish({"healthy": not failures, "findings": rows}, as_json, not failures)


COMMANDS = (verify, inspect, rebuild, backfill, deadletters, duties, rising, metrics, doctor)


def _table(*columns: str) -> Table:
    table = Table(box=None)
    for column in columns:
        table.add_column(column)
    return table


def _duration(seconds: float) -> str:
    """In the unit that fits."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
