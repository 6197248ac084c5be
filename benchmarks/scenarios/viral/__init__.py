"""One post goes viral: a million users react while real workers drain. Is anything lost?

``python -m benchmarks viral`` starts the whole system, lets several web processes react on one
post, each user once and some of them again, and holds the stores against what was acknowledged:
each reaction, the counts, the total, the sample in its order, and the number of unique users.

Times of react() are in µs, memory in bytes.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
from redis import Redis
from sqlalchemy import text

from benchmarks.support import common
from benchmarks.support.common import Show, quantiles, spread_id
from benchmarks.support.slow_log import SlowLog
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.constants import SAMPLE_SIZE
from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.maintenance.verify import Verifier
from reactions.postgres.database import Database
from reactions.redis import buckets, keys
from reactions.redis.outbox_state import OutboxState

POST = 4_242
WARM_UP = 300
"""Reactions of each writer on a post of its own before it begins."""

NEVER = 255
"""In place of a type code: the user was never acknowledged."""

LOOK_S = 0.02
"""How often the post is looked at."""

AFTERWARDS_S = 1.0
"""What still counts as during the promotion after the sample is there."""

CATCH_UP_S = 600.0
SLOW_US = 1_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The workload.

    Attributes:
        users: distinct users, each of whom reacts.
        writers: web processes; user n belongs to writer n % writers.
        batch: items of one react_many of all writers but the first, once the post is viral.
        churn: share of reactions that are followed by a change or a removal of a recent one.
        bits: of the user ids.
    """

    users: int
    writers: int
    batch: int
    churn: float
    bits: int
    threshold: int


@dataclass(slots=True)
class Written:
    """What one writer did: when each call began (s, monotonic clock) and how long it took (µs)."""

    events: int = 0
    began: array[float] = field(default_factory=lambda: array("d"))
    took: array[float] = field(default_factory=lambda: array("d"))
    bulk: array[float] = field(default_factory=lambda: array("d"))
    """µs of each react_many."""


def _share(plan: Plan, number: int) -> Iterator[tuple[int, int]]:
    """(user number, type code) of one writer, 0 removes; the same for the same plan."""
    chance = random.Random(number)
    recent: list[int] = []
    for user in range(number + 1, plan.users + 1, plan.writers):
        yield user, chance.randint(1, 6)
        recent.append(user)
        if len(recent) > 2_000:
            recent = recent[1_000:]
        if chance.random() < plan.churn:
            yield chance.choice(recent), chance.choice((0, 0, 1, 2, 3, 4, 5, 6))


def _writer(
    environment: dict[str, str],
    plan: Plan,
    number: int,
    barrier: Any,  # noqa: ANN401 - synchronisation of multiprocessing has no public types
    counters: Any,  # noqa: ANN401
    final: Any,  # noqa: ANN401
    results: Any,  # noqa: ANN401
) -> None:
    """One web process."""
    try:
        os.environ.update(environment)
        with Reactions() as client:
            for user in range(1, WARM_UP + 1):
                client.react(user, POST + 1 + number, "like")
            deadline = time.monotonic() + 10
            while not client.relay_stats().published and time.monotonic() < deadline:
                time.sleep(0.05)
            barrier.wait(120)
            results.put(_write(client, plan, number, counters, final))
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        results.put(RuntimeError(f"writer {number}: {error!r}"))
        barrier.abort()


def _write(
    client: Reactions,
    plan: Plan,
    number: int,
    counters: Any,  # noqa: ANN401 - as above
    final: Any,  # noqa: ANN401
) -> Written:
    done = Written()
    names: dict[int, str | None] = {0: None}
    names |= {code: name for name, code in client.settings.reaction_types.items()}
    clock = time.monotonic
    singly = 2 * plan.threshold  # in all: so that before and after the promotion are alike
    batch: list[tuple[int, int]] = []
    for user, code in _share(plan, number):
        if number and done.events * plan.writers > singly:
            batch.append((user, code))
            if len(batch) == plan.batch:
                _flush(client, plan, batch, names, done, final)
        else:
            name, user_id = names[code], spread_id(user, plan.bits)
            began = clock()
            if name is None:
                client.unreact(user_id, POST)
            else:
                client.react(user_id, POST, name)
            done.took.append((clock() - began) * 1e6)
            done.began.append(began)
            done.events += 1
            final[user] = code
        counters[number] = done.events
    _flush(client, plan, batch, names, done, final)
    counters[number] = done.events
    return done


def _flush(
    client: Reactions,
    plan: Plan,
    batch: list[tuple[int, int]],
    names: Mapping[int, str | None],
    done: Written,
    final: Any,  # noqa: ANN401 - as above
) -> None:
    began = time.monotonic()
    client.react_many((spread_id(user, plan.bits), POST, names[code]) for user, code in batch)
    done.bulk.append((time.monotonic() - began) * 1e6)
    for user, code in batch:  # in their order: the last one of a user stands
        final[user] = code
    done.events += len(batch)
    batch.clear()


@dataclass(slots=True)
class Watched:
    """What was seen of the post from outside. Times in s of the monotonic clock."""

    crossed: float = 0.0
    """The threshold was reached."""
    flagged: float = 0.0
    """The viral flag is set."""
    sampled: float = 0.0
    """The sample is there."""
    most_pending: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    """Of the caches of the post, soon after its promotion."""


class Watch:
    """Reads the post while it is written to."""

    def __init__(self, client: Redis, threshold: int) -> None:
        self._client = client
        self._threshold = threshold
        self.seen = Watched()

    def look(self, accepted: int) -> None:
        seen, now = self.seen, time.monotonic()
        with self._client.pipeline(transaction=False) as pipe:
            pipe.exists(keys.post_viral(POST))
            pipe.hget(keys.post_reactions(POST), str(buckets.MARK))
            pipe.hlen(keys.post_pending(POST))
            pipe.hlen(keys.post_claimed(POST))
            viral, mark, pending, claimed = pipe.execute()
        seen.most_pending = max(seen.most_pending, pending + claimed)
        if not seen.crossed and accepted >= self._threshold:
            seen.crossed = now
        if not seen.flagged and viral:
            seen.flagged = now
        if not seen.sampled and int(mark or 0) < 0:
            seen.sampled = now
        if seen.sampled and not seen.memory and now > seen.sampled + AFTERWARDS_S:
            seen.memory = memory_of(self._client)


def memory_of(client: Redis) -> dict[str, int]:
    """MEMORY USAGE of every cache key of the post, buckets together."""
    usage: dict[str, int] = {}
    first = keys.post_reactions(POST)
    mark: Any = client.hget(first, str(buckets.MARK))
    parts = {
        "reactions": [keys.bucket(first, n) for n in range(max(1, abs(int(mark or 1))))],
        "reaction_counts": [keys.post_reaction_counts(POST)],
        "viral": [keys.post_viral(POST)],
        "total_reactions": [keys.post_total_reactions(POST)],
        "recent": [keys.post_recent(POST)],
        "uniques": [keys.post_uniques(POST)],
    }
    for part, names in parts.items():
        found: list[Any] = [client.memory_usage(name, samples=0) for name in names]
        usage[part] = sum(int(size or 0) for size in found)
    return usage


def run(plan: Plan, workers: int, show: Show) -> dict[str, Any]:
    """Everything; the figures are those of the JSON."""
    settings = common.settings_with(viral_threshold=plan.threshold)
    with (
        common.folder("viral") as where,
        Stack(where, settings, concurrency=workers, flower=False, say=common.err.print) as stack,
    ):
        return _run(plan, stack, show)


def _run(plan: Plan, stack: Stack, show: Show) -> dict[str, Any]:
    settings = stack.settings
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(plan.writers + 1), context.SimpleQueue()
    counters = context.RawArray("Q", plan.writers)
    final = context.RawArray("B", plan.users + 1)
    final[:] = [NEVER] * (plan.users + 1)
    processes = [
        context.Process(
            target=_writer,
            args=(settings.environment(), plan, number, barrier, counters, final, results),
            daemon=True,
        )
        for number in range(plan.writers)
    ]
    for process in processes:
        process.start()
    client = Redis.from_url(settings.redis_url.get_secret_value(), socket_timeout=60)
    try:
        common.meet(barrier, results)
        slow = SlowLog(client, SLOW_US)
        watch = Watch(client, plan.threshold)
        began = time.monotonic()
        written = _watch(stack, plan, processes, counters, results, watch, slow, show)
        seconds = time.monotonic() - began
    finally:
        for process in processes:
            process.kill()
    catch_up = _catch_up(stack, watch, slow, show)
    events = sum(each.events for each in written)
    return {
        "machine": common.machine(),
        "server": common.version_of(client),
        "users": plan.users,
        "events": events,
        "accepted_per_s": round(events / seconds, 1),
        "durable_per_s": round(events / (seconds + catch_up), 1),
        "catch_up_s": round(catch_up, 2),
        "most_pending": watch.seen.most_pending,
        **_latencies(written, watch.seen),
        "promotion": _promotion(watch.seen, slow),
        "slow": slow.worst(),
        "latency_events": slow.events(),
        "memory_at_promotion": watch.seen.memory,
        "memory": memory_of(client),
        **_compare(settings, plan, client, final, show),
    }


def _watch(
    stack: Stack,
    plan: Plan,
    processes: Sequence[Any],
    counters: Any,  # noqa: ANN401 - as above
    results: Any,  # noqa: ANN401
    watch: Watch,
    slow: SlowLog,
    show: Show,
) -> list[Written]:
    written: list[Written] = []
    rounds = 0
    while len(written) < len(processes):
        while not results.empty():
            result = results.get()
            if isinstance(result, Exception):
                raise result
            written.append(result)
        if not written and not any(process.is_alive() for process in processes):
            raise RuntimeError("the writers are gone without a result")
        accepted = sum(counters)
        watch.look(accepted)
        if rounds % (50 if watch.seen.memory else 5) == 0:
            slow.read()
        if rounds % 10 == 0:
            stack.supervise()
            show("reacting", accepted, max(accepted, int(plan.users * (1 + plan.churn))))
        rounds += 1
        time.sleep(LOOK_S)
    return written


def _catch_up(stack: Stack, watch: Watch, slow: SlowLog, show: Show) -> float:
    """Seconds until all was durable, or CATCH_UP_S."""
    began = time.monotonic()
    outbox = OutboxState(
        Redis.from_url(stack.settings.redis_url.get_secret_value()), stack.settings
    )
    most = 0
    while (pending := outbox.pending()) and time.monotonic() < began + CATCH_UP_S:
        most = max(most, pending)
        show("becoming durable", most - pending, most)
        watch.look(0)
        slow.read()
        stack.supervise()
        time.sleep(LOOK_S)
    took = time.monotonic() - began
    time.sleep(2.0)  # the last drain may be at the sample still
    slow.read()
    return took


def _latencies(written: Sequence[Written], seen: Watched) -> dict[str, Any]:
    phases: dict[str, list[float]] = {"before": [], "during": [], "after": []}
    for each in written:
        for began, took in zip(each.began, each.took, strict=True):
            if not seen.crossed or began < seen.crossed:
                phases["before"].append(took)
            elif not seen.sampled or began < seen.sampled + AFTERWARDS_S:
                phases["during"].append(took)
            else:
                phases["after"].append(took)
    return {
        "react_us": {phase: quantiles(took) for phase, took in phases.items()},
        "react_many_us": quantiles(took for each in written for took in each.bulk),
    }


def _promotion(seen: Watched, slow: SlowLog) -> dict[str, Any]:
    around = slow.worst(seen.crossed - 0.5, (seen.sampled or seen.crossed) + AFTERWARDS_S)
    return {
        "flag_after_s": round(seen.flagged - seen.crossed, 3) if seen.flagged else None,
        "sample_after_s": round(seen.sampled - seen.crossed, 3) if seen.sampled else None,
        "slow": around,
        "slowest_us": max((each["max_us"] for each in around), default=0),
    }


def _compare(
    settings: Settings,
    plan: Plan,
    client: Redis,
    final: Any,  # noqa: ANN401 - as above
    show: Show,
) -> dict[str, Any]:
    """The stores against each other, and against what was acknowledged."""
    database = Database(settings, name="reactions-bench", timeout_s=300)
    numbers = {spread_id(user, plan.bits): user for user in range(1, plan.users + 1)}
    wrong = strange = ever = 0
    tally: dict[int, int] = {}
    found = bytearray(plan.users + 1)
    with database.transaction() as connection:
        rows = connection.execution_options(yield_per=50_000).execute(
            text("SELECT user_id, reaction FROM reactions WHERE post_id = :post"), {"post": POST}
        )
        for user_id, code in rows:
            ever += 1
            tally[code] = tally.get(code, 0) + 1
            user = numbers.get(user_id)
            if user is None:
                strange += 1
                continue
            found[user] = 1
            wrong += final[user] != code
            if ever % 100_000 == 0:
                show("comparing", ever, plan.users)
        newest = connection.execute(
            text(
                "SELECT user_id, reaction FROM reactions WHERE post_id = :post AND reaction <> 0 "
                "ORDER BY version DESC LIMIT :most"
            ),
            {"post": POST, "most": SAMPLE_SIZE},
        ).all()
        counted = connection.execute(
            text("SELECT reaction, count FROM reaction_counts WHERE post_id = :post"),
            {"post": POST},
        )
        table = {int(code): int(count) for code, count in counted}
    lost = sum(1 for user in range(1, plan.users + 1) if final[user] != NEVER and not found[user])
    names = settings.reaction_types
    with Reactions(settings) as reader:
        sample = [(each.user_id, names[each.reaction]) for each in reader.recent(POST, SAMPLE_SIZE)]
        counts = {names[name]: count for name, count in reader.counts(POST).items()}
        uniques = reader.uniques(POST)
    mark: Any = client.hget(keys.post_reactions(POST), str(buckets.MARK))
    total: Any = client.get(keys.post_total_reactions(POST))
    verified = Verifier(client, database, settings).verify()
    database.close()
    live = {code: count for code, count in tally.items() if code}
    return {
        "lost": lost,
        "wrong": wrong,
        "strange": strange,
        "sample_is_cached": int(mark or 0) < 0,
        "sample_size": len(sample),
        "sample_is_newest_in_order": sample == [tuple(row) for row in newest],
        "counts_exact": counts == dict.fromkeys(counts, 0) | live,
        "counts_table_exact": {c: n for c, n in table.items() if n} == tally,
        "total": int(total or 0),
        "total_exact": int(total or 0) == sum(live.values()),
        "uniques": uniques,
        "ever": ever,
        "uniques_error_percent": round(100 * (uniques - ever) / max(1, ever), 3),
        "verified": verified.holds,
        "differences": verified.examples,
        "dead_letters": verified.dead_letters,
        "pending": verified.pending,
    }


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """For people."""
    plain = [
        (name, value)
        for name, value in figures.items()
        if isinstance(value, int | float | str | bool)
    ]
    plain += [(f"promotion: {n}", v) for n, v in figures["promotion"].items() if n != "slow"]
    common.print_table("One viral post", ["figure", "value"], plain, markdown)
    calls = {f"react(), {phase}": q for phase, q in figures["react_us"].items()}
    calls["react_many()"] = figures["react_many_us"]
    common.print_table(
        "Times in µs",
        ["call", "n", "p50", "p99", "max"],
        [[name, *q.values()] for name, q in calls.items()],
        markdown,
    )
    at, end = figures["memory_at_promotion"], figures["memory"]
    common.print_table(
        "Memory of the post's keys in bytes (MEMORY USAGE)",
        ["key", "soon after the promotion", "at the end"],
        [
            *([part, at.get(part), size] for part, size in end.items()),
            ["sum", sum(at.values()), sum(end.values())],
        ],
        markdown,
    )
    for title, found in (
        ("Commands that held the server for 1 ms or more", figures["slow"]),
        ("The same, around the promotion", figures["promotion"]["slow"]),
    ):
        common.print_table(
            title,
            ["command", "slow ones", "longest in µs"],
            [list(each.values()) for each in found],
            markdown,
        )
    common.print_table(
        "The server's latency monitor (events of 1 ms or more)",
        ["event", "latest in ms", "longest in ms", "seconds with one"],
        [list(each.values()) for each in figures["latency_events"]],
        markdown,
    )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--users", type=click.IntRange(1_000, 2_000_000), default=1_000_000, show_default=True
)
@click.option("--writers", type=click.IntRange(1, 16), default=3, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--batch",
    type=click.IntRange(1, 1_000),
    default=10,
    show_default=True,
    help="Items of one react_many; all writers but the first use it, once the post is viral.",
)
@click.option(
    "--churn",
    type=click.FloatRange(0, 1),
    default=0.02,
    show_default=True,
    help="Share of reactions that are followed by a change or a removal.",
)
@click.option("--bits", type=click.IntRange(31, 62), default=62, show_default=True)
@click.option("--threshold", type=click.IntRange(100, 100_000), default=10_000, show_default=True)
@common.as_markdown
@common.as_json
def main(
    users: int,
    writers: int,
    workers: int,
    batch: int,
    churn: float,
    bits: int,
    threshold: int,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Let one post go viral on a system of its own, and look whether anything gets lost."""
    common.quiet_logs()
    plan = Plan(users, writers, batch, churn, bits, threshold)
    with bars(36) as show:
        figures = run(plan, workers, show)
    print_tables(figures, as_markdown)
    common.finish(figures, as_json)
