"""How long before a post goes viral is it noticed? A real trace, at its own time scale.

``python -m benchmarks virality TRACE`` replays a trace through the real scripts and the real drain,
on a Valkey and a PostgreSQL of its own, but with the time of the trace: what came within a step of
``--step`` seconds is drained at its end, and settled as if it had been claimed then. That is the
clock by which ``settle.lua`` weights the growth of a post. Beside it stands what a plain, lower
threshold would do.

Only the settlement gets the time of the trace. Leases, versions and lags keep that of the servers.
"""

from __future__ import annotations

import gzip
import statistics
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from benchmarks.support import common
from benchmarks.support.common import Show
from reactions.cli.console import bars
from reactions.core.constants import SHARDS
from reactions.core.settings import Settings
from reactions.demo.trace import Event, Trace
from reactions.drain.batch import Drained
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.redis.claims import Claim, Settled
from reactions.redis.connection import connect
from reactions.redis.outbox import Outbox
from reactions.redis.scripts.drain import SettledPost
from reactions.redis.writes import RedisWrites

GZIP = b"\x1f\x8b"


# -- the trace ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Growth:
    """What the trace says of each post.

    Attributes:
        reached: post -> when it first had 1, 2, 3, … reactions (s).
    """

    reached: dict[int, list[int]] = field(default_factory=dict)

    def size(self, post: int, at: int) -> int:
        """The most reactions that it had before this time."""
        return bisect_left(self.reached[post], at)

    def crossed(self, threshold: int) -> dict[int, int]:
        """post -> when it first had so many."""
        return {
            post: times[threshold - 1]
            for post, times in self.reached.items()
            if len(times) >= threshold
        }


def timed(trace: Trace) -> list[tuple[int, Event]]:
    """Its events, with their times.

    Raises:
        ValueError: a line is broken, or two are in the wrong order.
    """
    with trace.path.open("rb") as raw:
        zipped = raw.read(2) == GZIP
    with gzip.open(trace.path, "rt") if zipped else trace.path.open() as file:
        next(file)
        times = [int(line.partition(",")[0]) for line in file]
    if times != sorted(times):
        raise ValueError(f"{trace.path} is not in the order of its times")
    return list(zip(times, trace, strict=True))


def growth(events: Sequence[tuple[int, Event]]) -> Growth:
    """What the events come to, by plain counting."""
    found = Growth()
    users: dict[int, set[int]] = {}
    for at, (user_id, post_id, reaction) in events:
        live = users.setdefault(post_id, set())
        if reaction is None:
            live.discard(user_id)
            continue
        live.add(user_id)
        times = found.reached.setdefault(post_id, [])
        if len(live) > len(times):
            times.append(at)
    return found


def steps(events: Sequence[tuple[int, Event]], step: int) -> Iterator[tuple[int, list[Event]]]:
    """Ends of the steps in which something came (s), and what."""
    batch: list[Event] = []
    end = 0
    for at, event in events:
        if at >= end:
            if batch:
                yield end, batch
            batch, end = [], at - at % step + step
        batch.append(event)
    if batch:
        yield end, batch


# -- the replay --------------------------------------------------------------------------------


class Listening(Outbox):
    """An outbox that keeps what became of the posts it settled."""

    def __init__(self, client: Any, settings: Settings) -> None:  # noqa: ANN401 - redis-py's
        super().__init__(client, settings)
        self.answers: list[Settled] = []

    def settle(
        self, claims: Sequence[Claim], posts: Mapping[int, Sequence[SettledPost]]
    ) -> list[Settled]:
        self.answers = super().settle(claims, posts)
        return self.answers


@dataclass(slots=True)
class Noted:
    """post -> when (s of the trace) it was noted first, or every time."""

    rising: dict[int, int] = field(default_factory=dict)
    viral: dict[int, int] = field(default_factory=dict)
    flags: dict[int, list[int]] = field(default_factory=dict)
    """When it was put on its way, again and again."""
    falls: int = 0
    """How often a post was regular again."""
    rows: int = 0
    drains: int = 0


class Replay:
    """Plays events at the time of the trace."""

    def __init__(self, settings: Settings, database: Database, step: int) -> None:
        client = connect(settings)
        self._writes = RedisWrites(client, settings)
        self._persister = Persister(client, database, settings)
        self._outbox = Listening(client, settings)
        self._persister._outbox = self._outbox
        self._codes = settings.reaction_types
        self._step_us = step * 1_000_000
        self.noted = Noted()

    def play(self, end: int, events: Sequence[Event]) -> None:
        """One step: react, and drain at its end."""
        replies = self._writes.record_many(
            (event.user_id, event.post_id, self._codes[event.reaction] if event.reaction else 0)
            for event in events
        )
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        self._drain(end)

    def _drain(self, end: int) -> None:
        todo = list(range(SHARDS))
        while todo:
            claims, failed = self._outbox.claim(dict.fromkeys(todo, ""))
            if failed:
                raise RuntimeError(f"not claimed: {failed}")
            if not claims:
                return
            done = Drained()
            batch = self._persister.record(claims, done)  # the lease still counts by the servers
            for claim in claims:
                claim.claimed_at = end * 1_000_000
                for post in claim.posts:
                    post.since = claim.claimed_at - self._step_us
            todo = self._persister.settle(claims, batch, done)
            self._note(end, done)

    def _note(self, end: int, done: Drained) -> None:
        noted = self.noted
        noted.rows += done.rows
        noted.drains += 1
        for answer in self._outbox.answers:
            if answer.lost:
                raise RuntimeError("a lease was lost")
            for post in answer.rising:
                noted.rising.setdefault(post, end)
                noted.flags.setdefault(post, []).append(end)
            for post in answer.promoted:
                noted.viral.setdefault(post, end)
            noted.falls += len(answer.demoted)


def run(
    trace: Path, threshold: int, step: int, item: int | None, horizon: float, show: Show
) -> dict[str, Any]:
    """One threshold; the figures are those of the JSON."""
    types = Trace(trace).types()
    events = timed(Trace(trace))
    truth = growth(events)
    phase = f"replaying, threshold {threshold:,}"
    with (
        common.folder("virality") as where,
        common.running_redis(where, "valkey") as valkey,
        common.running_postgres(where) as postgres,
    ):
        settings = common.settings_with(
            redis_url=valkey.url,
            database_url=postgres.url,
            reaction_types=types,
            viral_threshold=threshold,
            viral_horizon_s=horizon,
            batch_rows=50_000,  # one claim takes all of a step
            redis_timeout_s=60,
            database_timeout_s=60,
        )
        migrate(settings)
        database = Database(settings, name="reactions-bench")
        replay = Replay(settings, database, step)
        done = 0
        for end, batch in steps(events, step):
            replay.play(end, batch)
            done += len(batch)
            show(phase, done, len(events))
        database.close()
    chosen = item or max(truth.reached, key=lambda post: len(truth.reached[post]))
    return {
        "threshold": threshold,
        "watched_from": max(1, int(settings.viral_threshold * settings.viral_watch)),
        "window_s": settings.viral_window_s,
        "horizon_s": settings.viral_horizon_s,
        "events": len(events),
        "drains": replay.noted.drains,
        "rows": replay.noted.rows,
        **judge(truth, replay.noted, threshold, chosen),
    }


# -- the judgement -----------------------------------------------------------------------------


def judge(truth: Growth, noted: Noted, threshold: int, item: int) -> dict[str, Any]:
    """What was noticed against what became of it. Times in minutes."""
    crossed = truth.crossed(threshold)
    leads = {
        post: (at - noted.rising[post]) / 60
        for post, at in crossed.items()
        if post in noted.rising and noted.rising[post] < at
    }
    # The flag that stood when it crossed; an earlier one may have been taken back.
    lasting = {
        post: (crossed[post] - max(at for at in noted.flags[post] if at < crossed[post])) / 60
        for post in leads
    }
    vain = sorted(noted.rising.keys() - crossed.keys())
    return {
        "crossed": len(crossed),
        "promoted": len(noted.viral),
        "promoted_are_those_that_crossed": noted.viral.keys() == crossed.keys(),
        "flagged": len(noted.rising),
        "flagged_ahead": len(leads),
        "flagged_in_vain": len(vain),
        "vain": {post: len(truth.reached[post]) for post in vain},
        "missed": len(crossed) - len(leads),
        "falls": noted.falls,
        "median_lead_min": _median(leads),
        "shortest_lead_min": round(min(leads.values()), 1) if leads else None,
        "median_lead_of_last_flag_min": _median(lasting),
        "item": _item(truth, noted, item, leads, lasting, threshold),
        "plain": _plain(truth, noted, item, threshold, len(vain)),
    }


def _item(
    truth: Growth,
    noted: Noted,
    item: int,
    leads: Mapping[int, float],
    lasting: Mapping[int, float],
    threshold: int,
) -> dict[str, Any]:
    flagged = noted.rising.get(item)
    return {
        "item": item,
        "reactions_in_all": len(truth.reached[item]),
        "reactions_when_flagged": truth.size(item, flagged) if flagged else None,
        "lead_min": round(leads[item], 1) if item in leads else None,
        "lead_of_last_flag_min": round(lasting[item], 1) if item in lasting else None,
        "flags": len(noted.flags.get(item, ())),
        "crossed_at": truth.crossed(threshold).get(item),
        "promoted_at": noted.viral.get(item),
    }


def _plain(
    truth: Growth, noted: Noted, item: int, threshold: int, vain: int
) -> dict[str, dict[str, Any]]:
    """Lower thresholds: with the lead that the item had, and with as many in vain."""
    found = {}
    if item in noted.rising:
        same_lead = max(1, truth.size(item, noted.rising[item]))
        found["same_lead"] = _plain_at(truth, item, threshold, same_lead)
    below = sorted((n for t in truth.reached.values() if (n := len(t)) < threshold), reverse=True)
    same_vain = below[vain] + 1 if vain < len(below) else 1
    found["same_vain"] = _plain_at(truth, item, threshold, same_vain)
    return found


def _plain_at(truth: Growth, item: int, threshold: int, lower: int) -> dict[str, Any]:
    crossed = truth.crossed(threshold)
    flagged = truth.crossed(lower)
    leads = {post: (at - flagged[post]) / 60 for post, at in crossed.items()}
    return {
        "threshold": lower,
        "flagged": len(flagged),
        "in_vain": len(flagged) - len(crossed),
        "item_lead_min": round(leads[item], 1) if item in leads else None,
        "median_lead_min": _median(leads),
    }


def _median(leads: Mapping[int, float]) -> float | None:
    return round(statistics.median(leads.values()), 1) if leads else None


# -- for people --------------------------------------------------------------------------------


def print_tables(found: Sequence[Mapping[str, Any]], markdown: bool) -> None:
    """One column a threshold."""
    header = ["figure", *(f"threshold {each['threshold']:,}" for each in found)]
    item = found[0]["item"]["item"]
    rows: list[tuple[str, list[Any]]] = [
        (name.replace("_", " "), [each[name] for each in found])
        for name in (
            "crossed",
            "flagged",
            "flagged_ahead",
            "flagged_in_vain",
            "missed",
            "median_lead_min",
            "shortest_lead_min",
            "median_lead_of_last_flag_min",
            "falls",
            "promoted_are_those_that_crossed",
        )
    ]
    rows += [
        (f"item {item}: {name.replace('_', ' ')}", [each["item"][name] for each in found])
        for name in ("lead_min", "lead_of_last_flag_min", "reactions_when_flagged", "flags")
    ]
    for kind, title in (
        ("same_lead", f"a plain threshold with the lead of item {item}"),
        ("same_vain", "a plain threshold with as many in vain"),
    ):
        rows += [
            (
                f"{title}: {name.replace('_', ' ')}",
                [_of(each["plain"], kind, name) for each in found],
            )
            for name in ("threshold", "flagged", "in_vain", "item_lead_min", "median_lead_min")
        ]
    common.print_table(
        "Posts on their way to become viral", header, [[n, *v] for n, v in rows], markdown
    )


def _of(plain: Mapping[str, Mapping[str, Any]], kind: str, name: str) -> Any:  # noqa: ANN401
    return plain[kind][name] if kind in plain else None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("trace", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--threshold",
    "thresholds",
    type=click.IntRange(10, 100_000),
    multiple=True,
    default=[10_000],
    show_default=True,
    help="Reactions from which a post is viral; may be given several times.",
)
@click.option(
    "--step",
    type=click.IntRange(1, 3_600),
    default=60,
    show_default=True,
    help="Seconds of the trace between two drains.",
)
@click.option("--item", type=click.IntRange(1), help="Post to look at closely. [the largest]")
@click.option(
    "--horizon",
    type=click.FloatRange(1, 86_400),
    default=Settings.model_fields["viral_horizon_s"].default,
    show_default=True,
    help="viral_horizon_s.",
)
@common.as_markdown
@common.as_json
def main(
    trace: Path,
    thresholds: Sequence[int],
    step: int,
    item: int | None,
    horizon: float,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Replay TRACE, and look how long ahead posts that become viral are noticed."""
    common.quiet_logs()
    with bars(36) as show:
        found = [run(trace.resolve(), t, step, item, horizon, show) for t in thresholds]
    print_tables(found, as_markdown)
    common.finish({"machine": common.machine(), "step_s": step, "thresholds": found}, as_json)
