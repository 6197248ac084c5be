"""More reactions than the persister can follow: what does ``react()`` take, and what does it cost?

``python -m benchmarks overload --seconds 120`` starts the whole system twice over: web processes
write for so long, as fast as they are let, over a bounded set of (post, user) pairs, then over one
that grows without end. Some call ``react()``, whose times these are; the others ``react_many()``,
to outrun the workers. Each second it is noted what was accepted, what became durable, what waits
and what memory Redis uses, beside what the formula of docs/reliability.md says. Then it is drained,
and every row is held against what was acknowledged.

Times of react() are in ms, memory in bytes.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from redis import Redis

from benchmarks.support import common
from benchmarks.support.common import Show, quantiles
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.settings import Settings
from reactions.demo.replay import quantile
from reactions.demo.stack import Stack
from reactions.maintenance.verify import Verifier, mismatched
from reactions.postgres.database import Database
from reactions.redis.outbox_state import OutboxState

ENTRY = 35
"""Bytes of a pending (post, user), on a post with up to 512 of them: a listpack."""

ENTRY_LARGE = 110
"""The same beyond that: a hash table."""

POST = 350
"""Bytes of a post with something pending, whatever it is."""

LISTPACK = 512

CACHE_POST, CACHE_USER, CACHED = 300, 130, 30
"""Bytes of the caches of a post and of a user, and of each reaction in both (docs/benchmarks)."""

GOAL_MS = 50.0
CATCH_UP_S = 1_800.0
TYPES = 6


def predicted(posts: int, pending: int) -> int:
    """Bytes that the outbox takes at most, from docs/reliability.md."""
    entry = ENTRY if pending <= LISTPACK * posts else ENTRY_LARGE
    return POST * posts + entry * pending


def cached(posts: int, users: int, reactions: int) -> int:
    """Bytes of the caches that drains leave behind; they have a TTL and may be evicted."""
    return CACHE_POST * posts + CACHE_USER * users + CACHED * reactions


@dataclass(frozen=True, slots=True)
class Plan:
    """The workload.

    Attributes:
        seconds: of writing, for each set of pairs.
        singles, bulks: web processes that call react(), react_many().
        batch: items of one react_many().
        posts, users: of the bounded set; the growing one has these posts, and new users for ever.
    """

    seconds: int
    singles: int
    bulks: int
    batch: int
    posts: int
    users: int

    @property
    def writers(self) -> int:
        return self.singles + self.bulks


@dataclass(slots=True)
class Written:
    """What one writer did: when each react() ended (s, monotonic clock), how long it took (ms)."""

    number: int
    made: int = 0
    ended: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))


@dataclass(frozen=True, slots=True)
class Sample:
    """One second. ``used`` is used_memory beyond the start, ``predicted`` what the outbox takes by
    the formula, ``caches`` the caches."""

    at: float
    accepted: int
    durable: int
    pending: int
    distinct: int
    dirty_posts: int
    used: int
    predicted: int
    caches: int
    rewriting: bool
    """The server wrote its append-only file anew, in a process of its own."""


def share(plan: Plan, number: int, growing: bool) -> Iterator[tuple[int, int, int]]:
    """(user, post, code) of one writer, without end; no two writers share a user."""
    chance = random.Random(number)
    if growing:
        user = 1_000_000 + number
        while True:
            yield user, chance.randint(1, plan.posts), chance.randint(1, TYPES)
            user += plan.writers
    mine = range(1 + number, plan.users + 1, plan.writers)
    while True:
        yield chance.choice(mine), chance.randint(1, plan.posts), chance.randint(0, TYPES)


def _writer(
    environment: dict[str, str],
    plan: Plan,
    number: int,
    growing: bool,
    barrier: Any,  # noqa: ANN401 - synchronisation of multiprocessing has no public types
    counters: Any,  # noqa: ANN401
    results: Any,  # noqa: ANN401
) -> None:
    """One web process."""
    try:
        os.environ.update(environment)
        with Reactions() as client:
            barrier.wait(120)
            results.put(_write(client, plan, number, growing, counters))
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        results.put(RuntimeError(f"writer {number}: {error!r}"))
        barrier.abort()


def _write(client: Reactions, plan: Plan, number: int, growing: bool, counters: Any) -> Written:  # noqa: ANN401
    done, clock = Written(number), time.monotonic
    names: dict[int, str | None] = {0: None}
    names |= {code: name for name, code in client.settings.reaction_types.items()}
    events = share(plan, number, growing)
    until = clock() + plan.seconds
    while clock() < until:
        if number >= plan.singles:
            client.react_many([(u, p, names[c]) for u, p, c in _some(events, plan.batch)])
            done.made += plan.batch
        else:
            user, post, code = next(events)
            name, began = names[code], clock()
            if name is None:
                client.unreact(user, post)
            else:
                client.react(user, post, name)
            ended = clock()
            done.took.append((ended - began) * 1e3)
            done.ended.append(ended)
            done.made += 1
        counters[number] = done.made
    return done


def _some(events: Iterator[tuple[int, int, int]], number: int) -> list[tuple[int, int, int]]:
    return [next(events) for _ in range(number)]


class Watch:
    """Reads the stores once a second."""

    def __init__(self, stack: Stack, plan: Plan, growing: bool, counters: Any) -> None:  # noqa: ANN401
        self._client = Redis.from_url(
            stack.settings.redis_url.get_secret_value(), socket_timeout=60
        )
        self._outbox = OutboxState(self._client, stack.settings)
        self._counters = counters
        self._growing = growing
        self._plan = plan
        self._began = time.monotonic()
        self._used = self.used()
        self._durable = self.durable()
        self.samples: list[Sample] = []

    def used(self) -> int:
        memory: Any = self._client.info("memory")
        return int(
            memory["used_memory"] - memory["mem_clients_normal"] - memory.get("mem_aof_buffer", 0)
        )

    def rewriting(self) -> bool:
        persistence: Any = self._client.info("persistence")
        return bool(persistence["aof_rewrite_in_progress"])

    def durable(self) -> int:
        return sum(self._outbox.lags().values())

    def look(self) -> Sample:
        posts, pending = len(self._outbox.dirty_posts()), self._outbox.pending()
        accepted = sum(self._counters)
        distinct = accepted if self._growing else min(accepted, self._plan.posts * self._plan.users)
        durable = self.durable() - self._durable
        plan = self._plan
        reactions = min(durable, distinct)
        sample = Sample(
            round(time.monotonic() - self._began, 2),
            accepted,
            durable,
            pending,
            distinct,
            posts,
            self.used() - self._used,
            predicted(posts, pending),
            cached(
                min(plan.posts, reactions),
                reactions if self._growing else min(plan.users, reactions),
                reactions,
            ),
            self.rewriting(),
        )
        self.samples.append(sample)
        return sample

    def evictable(self) -> int:
        """Keys with a TTL: what is used beyond the outbox, and would give way."""
        space: Any = self._client.info("keyspace")
        return int(space["db0"]["expires"]) if "db0" in space else 0


def expected(plan: Plan, growing: bool, written: Sequence[Written]) -> dict[int, dict[int, int]]:
    """post -> user -> code, from what each writer was acknowledged."""
    found: dict[int, dict[int, int]] = {}
    for each in written:
        events = share(plan, each.number, growing)
        for user, post, code in _some(events, each.made):
            if code:
                found.setdefault(post, {})[user] = code
            else:
                found.get(post, {}).pop(user, None)
    return found


def run(plan: Plan, growing: bool, workers: int, show: Show) -> dict[str, Any]:
    """One set of pairs, on a system of its own; the figures are those of the JSON."""
    with (
        common.folder("overload") as where,
        Stack(
            where, common.settings_with(), concurrency=workers, flower=False, say=common.err.print
        ) as stack,
    ):
        return _run(plan, growing, stack, show)


def _run(plan: Plan, growing: bool, stack: Stack, show: Show) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(plan.writers + 1), context.SimpleQueue()
    counters = context.RawArray("Q", plan.writers)
    environment = stack.settings.environment()
    processes = [
        context.Process(
            target=_writer,
            args=(environment, plan, number, growing, barrier, counters, results),
            daemon=True,
        )
        for number in range(plan.writers)
    ]
    for process in processes:
        process.start()
    try:
        common.meet(barrier, results)
        watch = Watch(stack, plan, growing, counters)
        began = time.monotonic()
        written = _watch(stack, plan, processes, results, watch, show)
    finally:
        for process in processes:
            process.kill()
    stopped = watch.look()
    drained = _drain(stack, watch, stopped.pending, show)
    return {
        "pairs": "growing" if growing else "bounded",
        "machine": common.machine(),
        **_figures(plan, watch, stopped, drained, written),
        "react_ms_by_rewriting": _by_rewriting(written, began, watch.samples),
        "seconds": _seconds(written, began, watch.samples),
        **_compare(stack.settings, expected(plan, growing, written), show),
    }


def _watch(
    stack: Stack,
    plan: Plan,
    processes: Sequence[Any],
    results: Any,  # noqa: ANN401 - as above
    watch: Watch,
    show: Show,
) -> list[Written]:
    written: list[Written] = []
    due = time.monotonic()
    while len(written) < len(processes):
        while not results.empty():
            result = results.get()
            if isinstance(result, Exception):
                raise result
            written.append(result)
        if not written and not any(process.is_alive() for process in processes):
            raise RuntimeError("the writers are gone without a result")
        if time.monotonic() >= due:
            due += 1.0
            sample = watch.look()
            stack.supervise()
            show("writing", int(sample.at), plan.seconds)
        time.sleep(0.02)
    return written


def _drain(stack: Stack, watch: Watch, most: int, show: Show) -> float:
    """Seconds until all was durable, or CATCH_UP_S."""
    began = time.monotonic()
    while (sample := watch.look()).pending and time.monotonic() - began < CATCH_UP_S:
        show("draining", most - sample.pending, most)
        stack.supervise()
        time.sleep(0.25)
    return time.monotonic() - began


def _figures(
    plan: Plan, watch: Watch, stopped: Sample, drained: float, written: Sequence[Written]
) -> dict[str, Any]:
    took = [ms for each in written for ms in each.took]
    most = max(watch.samples, key=lambda sample: sample.pending)
    seconds = min(plan.seconds, stopped.at)
    return {
        "accepted": stopped.accepted,
        "accepted_per_s": round(stopped.accepted / seconds),
        "durable_per_s": round(stopped.durable / seconds),
        "react_ms": quantiles(took),
        "within_goal": quantile(sorted(took), 0.99) <= GOAL_MS,
        "most_pending": most.pending,
        "distinct_then": most.distinct,
        "used_then": most.used,
        "outbox_predicted_then": most.predicted,
        "caches_predicted_then": most.caches,
        "used_at_most": max(sample.used for sample in watch.samples),
        "used_over_predicted_at_most": round(
            max(s.used / (s.predicted + s.caches + 1e6) for s in watch.samples), 2
        ),
        "pending_at_the_end": stopped.pending,
        "drain_s": round(drained, 1),
        "drain_per_s": round(stopped.pending / drained) if drained else 0,
        "left": watch.samples[-1].pending,
        "used_after": watch.samples[-1].used,
        "evictable_keys_after": watch.evictable(),
    }


def _seconds(
    written: Sequence[Written], began: float, samples: Sequence[Sample]
) -> list[dict[str, Any]]:
    """Each sample, with the p99 of react() in the second before it; None where nobody called."""
    ended = sorted(
        (when - began, ms)
        for each in written
        for when, ms in zip(each.ended, each.took, strict=True)
    )
    found, at = [], 0
    for sample in samples:
        took = []
        while at < len(ended) and ended[at][0] <= sample.at:
            took.append(ended[at][1])
            at += 1
        p99 = round(quantile(sorted(took), 0.99), 2) if took else None
        found.append({**asdict(sample), "react_p99_ms": p99})
    return found


def _by_rewriting(
    written: Sequence[Written], began: float, samples: Sequence[Sample]
) -> dict[str, dict[str, float]]:
    """react() in the seconds at whose beginning or end the file was being rewritten, and others."""
    ends = [sample.at for sample in samples]
    took: dict[bool, list[float]] = {False: [], True: []}
    for each in written:
        for when, ms in zip(each.ended, each.took, strict=True):
            at = min(bisect_left(ends, when - began), len(samples) - 1)
            took[samples[at].rewriting or samples[max(0, at - 1)].rewriting].append(ms)
    return {"rewriting": quantiles(took[True]), "otherwise": quantiles(took[False])}


def _compare(
    settings: Settings, wanted: Mapping[int, Mapping[int, int]], show: Show
) -> dict[str, Any]:
    database = Database(settings, name="reactions-bench")
    client = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=60)
    found = Verifier(client, database, settings).verify(lambda n: show("verifying", n, n))
    wrong = mismatched(database, wanted, found.note)
    database.close()
    return {
        "holds": found.holds and not wrong and not found.pending and not found.dead_letters,
        "reactions": found.reactions,
        "mismatched_reactions": wrong,
        "drifted": found.found.total(),
        "dead_letters": found.dead_letters,
        "examples": found.examples[:5],
    }


def print_tables(runs: Sequence[Mapping[str, Any]], markdown: bool) -> None:
    """For people."""
    plain = [
        "accepted", "accepted_per_s", "durable_per_s", "most_pending", "distinct_then", "used_then",
        "outbox_predicted_then", "caches_predicted_then", "used_at_most",
        "used_over_predicted_at_most", "pending_at_the_end", "drain_s", "drain_per_s", "left",
        "used_after", "reactions", "mismatched_reactions", "drifted", "dead_letters", "holds",
    ]  # fmt: skip
    rows: list[list[object]] = [[name, *(each[name] for each in runs)] for name in plain]
    for name in ("max", "p99", "p50"):
        rows.insert(3, [f"react() {name}, ms", *(each["react_ms"][name] for each in runs)])
    for name in ("rewriting", "otherwise"):
        rows.insert(
            6,
            [f"react() p99, ms, {name}", *(e["react_ms_by_rewriting"][name]["p99"] for e in runs)],
        )
    common.print_table("Overload", ["figure", *(each["pairs"] for each in runs)], rows, markdown)


def plot(runs: Sequence[Mapping[str, Any]], target: Path) -> None:
    """overload.svg: the backlog, and the memory beside the prediction."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "reactions", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    target.mkdir(parents=True, exist_ok=True)
    figure, panels = pyplot.subplots(2, len(runs), figsize=(8.5, 6), squeeze=False, sharex="col")
    for column, each in enumerate(runs):
        seconds = each["seconds"]
        at = [sample["at"] for sample in seconds]
        above, below = panels[0][column], panels[1][column]
        above.set_title(f"pairs: {each['pairs']}")
        for name, ink in (("accepted", "#868e96"), ("distinct", "#2b8a3e"), ("pending", "#c92a2a")):
            above.plot(at, [sample[name] for sample in seconds], color=ink, label=name)
        above.set_yscale("symlog", linthresh=1_000)
        below.plot(at, [s["used"] / 1e6 for s in seconds], color="#0b7285", label="used_memory")
        below.plot(
            at,
            [s["predicted"] / 1e6 for s in seconds],
            color="#c92a2a",
            linestyle="--",
            label="predicted for the outbox",
        )
        below.plot(
            at,
            [(s["predicted"] + s["caches"]) / 1e6 for s in seconds],
            color="#868e96",
            linestyle="--",
            label="with caches, which may be evicted",
        )
        below.set_xlabel("seconds")
    panels[0][0].set_ylabel("reactions")
    panels[1][0].set_ylabel("MB beyond the start")
    for row in panels:
        for panel in row:
            panel.grid(alpha=0.3)
            panel.legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(target / "overload.svg", metadata={"Date": None})
    pyplot.close(figure)


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--seconds", type=click.IntRange(1, 3_600), default=120, show_default=True)
@click.option("--singles", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--bulks", type=click.IntRange(0, 16), default=2, show_default=True)
@click.option("--batch", type=click.IntRange(1, 1_000), default=50, show_default=True)
@click.option("--posts", type=click.IntRange(1, 100_000), default=1_000, show_default=True)
@click.option("--users", type=click.IntRange(16, 100_000), default=20, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write overload.svg to this folder (needs matplotlib).",
)
@common.as_markdown
@common.as_json
def main(
    seconds: int,
    singles: int,
    bulks: int,
    batch: int,
    posts: int,
    users: int,
    workers: int,
    plots: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Write more than the workers can follow, then let them drain it, on systems of its own."""
    common.quiet_logs()
    plan = Plan(seconds, singles, bulks, batch, posts, users)
    with bars(36) as show:
        runs = [run(plan, growing, workers, show) for growing in (False, True)]
    print_tables(runs, as_markdown)
    if plots is not None:
        plot(runs, plots)
    common.finish({"runs": runs}, as_json)
