"""How often reads reach PostgreSQL, and how fast they are.

``python -m benchmarks reads`` starts the whole system, fills it with one very viral post, other
viral posts and regular ones, and lets several web processes, with several threads each, read and
write while real workers drain. Every SQL statement of the web processes is counted by SQLAlchemy's
event and, as a check, in the server's own log. Two scenarios: ``known``, where everyone reacted
within the life of the users' cache, so it still has them, and ``forgotten``, where that cache is
empty at the start, as if all reactions were older than a day.

Then a feed of 50 posts is timed beside a bare pipeline of the same reads, and again cold.

Times are in µs.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import re
import threading
import time
from bisect import bisect
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr
from redis import Redis
from sqlalchemy import create_engine, event, make_url, text

from benchmarks.support import common, feed
from benchmarks.support.common import Show, quantiles, spread_id
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.demo.trace import Trace
from reactions.drain.cache_loader import CacheLoader
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState

BITS = 62
GOAL_PERCENT = 1.0
ROLE = "bench_api"
"""The web processes' user of PostgreSQL, whose statements the server logs."""

FEED = 50
"""Posts of a feed, drawn by popularity."""
VIRAL_FEED = 10
FEED_VIRAL = 5
"""Viral posts in the feed that is timed."""

READS = {
    "reaction_of": 40,
    "summaries of viral posts": 20,
    "summaries of a feed": 20,
    "counts": 12,
    "recent": 5,
    "uniques": 1,
    "reactors": 1,
    "history": 1,
}
"""Weights. The last two are lists out of PostgreSQL by design."""


@dataclass(frozen=True, slots=True)
class World:
    """What there is, and who reads.

    Attributes:
        reactors: of the first viral post; users 1 to this number.
        strangers: users above them who never reacted before.
        viral: posts, the most popular first.
        regular: posts, likewise.
        newcomers: share of readers who were active a moment ago (a reaction, or a visit).
        others: share of readers who never reacted; the rest are old reactors.
        readers: how many old reactors, and how many strangers, read at all.
        trace: of arrivals, if any.
    """

    reactors: int
    strangers: int
    viral: tuple[int, ...]
    regular: tuple[int, ...]
    viral_size: int
    newcomers: float
    others: float
    readers: int
    trace: Path | None

    def user(self, number: int) -> int:
        return spread_id(number, BITS)


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is done by whom."""

    calls: int
    writes: float
    processes: int
    threads: int


class Zipf:
    """Draws a number from 1 to n, the r-th with a chance of 1/r^s."""

    def __init__(self, n: int, s: float = 1.0) -> None:
        self._sums = list(accumulate(1 / rank**s for rank in range(1, n + 1)))

    def draw(self, chance: random.Random) -> int:
        return 1 + bisect(self._sums, chance.random() * self._sums[-1])


# -- one web process ---------------------------------------------------------------------------


@dataclass(slots=True)
class Played:
    """What a web process did. Times in µs; counts by the kind of call."""

    took: dict[str, list[float]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    """Calls that sent SQL."""
    first: Counter[str] = field(default_factory=Counter)
    """Those of them about a (user, viral post) that this process had not looked at before."""
    fresh: Counter[str] = field(default_factory=Counter)
    """Calls about such a pair, whether or not they sent SQL."""
    strange: Counter[str] = field(default_factory=Counter)
    """Calls for a user that this process had not looked anything up for before."""
    quarters: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in range(8)])
    """Calls, then calls that sent SQL, of each quarter of the run."""
    statements: Counter[str] = field(default_factory=Counter)
    """SQL statements, by ``call: kind of statement``."""
    viral_looked: int = 0
    """(user, viral post) pairs of calls about viral posts alone."""
    viral_views: int = 0
    """(user, viral post) pairs looked at."""
    viral_asked: int = 0
    """Of these, the ones that the database was asked for."""
    failed: int = 0


class Web:
    """One web process: several threads that read and write as people do."""

    def __init__(
        self,
        client: Reactions,
        world: World,
        plan: Plan,
        number: int,
        counters: Any,  # noqa: ANN401 - shared memory has no public type
    ) -> None:
        self._client = client
        self._world = world
        self._plan = plan
        self._played = Played()
        self._lock = threading.Lock()
        self._now = threading.local()
        self._arrivals = _arrivals(world, number, plan.processes)
        self._active: deque[int] = deque(maxlen=2_000)
        self._seen: set[tuple[int, int]] = set()
        self._known: set[int] = set()
        self._recency, self._old = Zipf(2_000), Zipf(min(world.readers, world.reactors))
        self._stranger = Zipf(min(world.readers, world.strangers))
        self._posts = world.viral + world.regular
        self._popular, self._popular_viral = Zipf(len(self._posts)), Zipf(len(world.viral))
        self._is_viral = frozenset(world.viral)
        self._number = number
        self._counters = counters
        event.listen(client._read_path().database.engine, "before_cursor_execute", self._statement)

    def play(self) -> Played:
        each = self._plan.calls // self._plan.processes // self._plan.threads
        threads = [
            threading.Thread(target=self._play, args=(each, self._number * 100 + number))
            for number in range(self._plan.threads)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return self._played

    def _statement(self, *args: Any) -> None:  # noqa: ANN401 - SQLAlchemy's event
        """Runs in the thread that asks."""
        _, _, statement, parameters, _, _ = args
        now = self._now
        now.statements = getattr(now, "statements", 0) + 1
        viral = 0
        if "unnest" in statement and isinstance(parameters, Mapping):
            wanted = str(parameters["posts"]).strip("{}").split(",")
            viral = sum(int(post) in self._is_viral for post in wanted if post)
        with self._lock:
            self._played.statements[f"{getattr(now, 'call', 'warm-up')}: {_kind(statement)}"] += 1
            self._played.viral_asked += viral

    def _play(self, calls: int, seed: int) -> None:
        chance = random.Random(seed)
        names, weights = list(READS), list(READS.values())
        for done in range(calls):
            quarter = 4 * done // calls
            if chance.random() < self._plan.writes:
                with self._lock:
                    user, post, reaction = next(self._arrivals)
                    self._active.appendleft(user)
                name = "react" if reaction else "unreact"
                self._call(name, quarter, self._write(user, post, reaction))
            else:
                name = chance.choices(names, weights)[0]
                self._call(name, quarter, *self._read(name, chance))

    def _call(
        self,
        name: str,
        quarter: int,
        call: Callable[[], object],
        user: int = 0,
        posts: Sequence[int] = (),
    ) -> None:
        pairs = [(user, post) for post in posts if post in self._is_viral]
        with self._lock:
            new = any(pair not in self._seen for pair in pairs)
            self._seen.update(pairs)
            strange = bool(pairs) and user not in self._known
            if pairs:
                self._known.add(user)
        now = self._now
        now.call, now.statements, failed = name, 0, 0
        began = time.perf_counter()
        try:
            call()
        except Exception:  # noqa: BLE001 - counted; what a reader is told is no matter here
            failed = 1
        took = (time.perf_counter() - began) * 1e6
        with self._lock:
            played = self._played
            played.took.setdefault(name, []).append(took)
            played.failed += failed
            self._counters[self._number] += 1
            played.viral_views += len(pairs)
            if len(pairs) == len(posts):
                played.viral_looked += len(pairs)
            played.quarters[quarter][name] += 1
            played.fresh[name] += new
            played.strange[name] += strange
            if now.statements:
                played.asked[name] += 1
                played.first[name] += new
                played.quarters[4 + quarter][name] += 1

    def _write(self, user: int, post: int, reaction: str | None) -> Callable[[], object]:
        if reaction is None:
            return lambda: self._client.unreact(user, post)
        return lambda: self._client.react(user, post, reaction)

    def _read(
        self, name: str, chance: random.Random
    ) -> tuple[Callable[[], object], int, Sequence[int]]:
        """A call, and whose reaction on which posts it looks at."""
        client, user = self._client, self._reader(chance)
        viral = self._world.viral[self._popular_viral.draw(chance) - 1]
        if name == "reaction_of":
            return lambda: client.reaction_of(user, viral), user, [viral]
        if name == "summaries of viral posts":
            posts: Sequence[int] = self._world.viral[:VIRAL_FEED]
            return lambda: client.summaries(posts, user), user, posts
        if name == "summaries of a feed":
            drawn = (self._posts[self._popular.draw(chance) - 1] for _ in range(3 * FEED))
            mixed = list(dict.fromkeys(drawn))[:FEED]
            return lambda: client.summaries(mixed, user), user, mixed
        plain: dict[str, Callable[[], object]] = {
            "counts": lambda: client.counts(viral),
            "recent": lambda: client.recent(viral, 20),
            "uniques": lambda: client.uniques(viral),
            "reactors": lambda: client.reactors(viral, limit=50),
            "history": lambda: client.history(user, limit=50),
        }
        return plain[name], 0, ()

    def _reader(self, chance: random.Random) -> int:
        world, luck = self._world, chance.random()
        if luck < world.newcomers and self._active:
            with self._lock:
                return self._active[min(self._recency.draw(chance), len(self._active)) - 1]
        if luck < world.newcomers + world.others:
            return world.user(world.reactors + self._stranger.draw(chance))
        # Popularity of a reader has nothing to do with when they reacted.
        return world.user(1 + self._old.draw(chance) * 7_919 % world.reactors)


def _kind(statement: str) -> str:
    if "unnest" in statement:
        return "own reactions by primary key"
    if "sum(reaction_counts" in statement:
        return "sum of a post's counts"
    if "reaction_counts" in statement:
        return "counts"
    return "list" if "ORDER BY" in statement else "other"


def _arrivals(world: World, number: int, of: int) -> Iterator[tuple[int, int, str | None]]:
    """(user, post, reaction) without end; with a trace, its users in its order, over and over."""
    chance = random.Random(number)
    posts = world.viral + world.regular
    popular = Zipf(len(posts))
    types = ("like", "love", "laugh", "wow", "sad", "angry")
    if world.trace is not None:
        yield from _replayed(world, number, of, posts, types)
    fresh = 2 * world.reactors + world.strangers + number
    while True:
        fresh += of
        user = world.user(fresh if chance.random() < 0.7 else 1 + chance.randrange(world.reactors))
        post = posts[popular.draw(chance) - 1]
        yield user, post, None if chance.random() < 0.03 else chance.choice(types)


def _replayed(
    world: World, number: int, of: int, posts: Sequence[int], types: Sequence[str]
) -> Iterator[tuple[int, int, str | None]]:
    """The popular items of the trace are the popular posts; a third of its users are reactors."""
    assert world.trace is not None  # noqa: S101 - for the type checker
    trace = Trace(world.trace)
    ranks = Counter(event.post_id for event in trace)
    rank = {item: place for place, (item, _) in enumerate(ranks.most_common())}
    kinds: dict[str, str] = {}
    while True:
        for user, item, reaction in trace:
            if user % of != number:
                continue
            mapped = user % world.reactors if user % 3 == 0 else world.reactors + user
            name = reaction and kinds.setdefault(reaction, types[len(kinds) % len(types)])
            yield world.user(1 + mapped), posts[rank[item] % len(posts)], name


def _process(
    environment: dict[str, str],
    world: World,
    plan: Plan,
    number: int,
    counters: Any,  # noqa: ANN401 - what multiprocessing shares has no public types
    barrier: Any,  # noqa: ANN401
    results: Any,  # noqa: ANN401
) -> None:
    try:
        os.environ.update(environment)
        with Reactions() as client:
            web = Web(client, world, plan, number, counters)
            client.react(world.user(number + 1), 1 + number, "like")  # the relay is up, too
            client.counts(1 + number)
            time.sleep(2)
            web._played = Played()
            barrier.wait(300)
            results.put(web.play())
    except Exception as error:  # noqa: BLE001 - handed to the parent, which raises it
        results.put(RuntimeError(f"web process {number}: {error!r}"))
        barrier.abort()


# -- the whole ---------------------------------------------------------------------------------


def run(world: World, plan: Plan, workers: int, show: Show) -> dict[str, Any]:
    """Everything; the figures are those of the JSON."""
    with (
        common.folder("reads") as where,
        Stack(
            where,
            common.settings_with(),
            concurrency=workers,
            flower=False,
            say=common.err.print,
        ) as stack,
    ):
        client = Redis.from_url(stack.settings.redis_url.get_secret_value(), socket_timeout=60)
        _fill(stack, world, show)
        api = _api_settings(stack.settings)
        figures: dict[str, Any] = {
            "machine": common.machine(),
            "server": common.version_of(client),
            "reactors": world.reactors,
            "calls": plan.calls,
            "writes": plan.writes,
            "readers": min(world.readers, world.reactors) + min(world.readers, world.strangers),
            "arrivals": world.trace.name if world.trace else "synthetic",
            "scenarios": {},
        }
        for scenario in ("known", "forgotten"):
            if scenario == "forgotten":
                _drop(client, "user:*")
            figures["scenarios"][scenario] = _scenario(stack, api, world, plan, scenario, show)
        posts = [*world.viral[:FEED_VIRAL], *world.regular[: FEED - FEED_VIRAL]]
        user = world.user(world.reactors // 2)
        figures["feed"] = feed.measure(stack.settings, posts, user, client, show)
    return figures


def _fill(stack: Stack, world: World, show: Show) -> None:
    """By the real path, drained by the workers."""
    chance = random.Random(1)
    types = tuple(stack.settings.reaction_types)
    outbox = OutboxState(connect(stack.settings), stack.settings)
    sizes = dict.fromkeys(world.viral, world.viral_size) | {world.viral[0]: world.reactors}
    sizes |= {post: 20 + 380 * rank % 381 for rank, post in enumerate(world.regular, 1)}
    total, done = sum(sizes.values()), 0
    with Reactions(stack.settings) as client:
        for post, size in sizes.items():
            first = 1 if size == world.reactors else 1 + chance.randrange(world.reactors - size)
            for start in range(first, first + size, 1_000):
                client.react_many(
                    (world.user(number), post, chance.choice(types))
                    for number in range(start, min(start + 1_000, first + size))
                )
                done += min(1_000, first + size - start)
                show("filling", done, total)
                while outbox.pending() > 20_000:
                    time.sleep(0.05)
        while outbox.pending():
            stack.supervise()
            time.sleep(0.05)
    database = Database(stack.settings, name="reactions-bench", timeout_s=60)
    loader = CacheLoader(
        CacheInstall(outbox._client, stack.settings), Queries(database), stack.settings
    )
    for post in (*world.viral, *world.regular):  # what reads would ask for sooner or later
        loader.load([post])
    database.close()


def _api_settings(settings: Settings) -> Settings:
    """The web processes get a user of PostgreSQL of their own: the server logs its statements."""
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {ROLE} LOGIN SUPERUSER"))
        connection.execute(text(f"ALTER ROLE {ROLE} SET log_statement = 'all'"))
        connection.execute(text("ALTER SYSTEM SET log_line_prefix = '%u|'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
    own = make_url(url).set(username=ROLE).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": SecretStr(own)})


def _drop(client: Redis, pattern: str) -> None:
    batch: list[bytes] = []
    for key in client.scan_iter(match=pattern, count=5_000):
        batch.append(key)
        if len(batch) == 5_000:
            client.unlink(*batch)
            batch = []
    if batch:
        client.unlink(*batch)


def _logged(log: Path, offset: int) -> dict[str, int]:
    """The statements of the web processes since then, by their first word: BEGIN, SELECT, …"""
    with log.open("rb") as file:
        file.seek(offset)
        found = re.findall(rb"(?m)^%s\|LOG:  statement: *\s*(\w+|;)?" % ROLE.encode(), file.read())
    return {word.decode() or "other": number for word, number in Counter(found).most_common()}


def _scenario(
    stack: Stack, api: Settings, world: World, plan: Plan, scenario: str, show: Show
) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(plan.processes + 1), context.SimpleQueue()
    counters = context.RawArray("Q", plan.processes)
    environment = api.environment()
    processes = [
        context.Process(
            target=_process,
            args=(environment, world, plan, number, counters, barrier, results),
            daemon=True,
        )
        for number in range(plan.processes)
    ]
    for process in processes:
        process.start()
    played: list[Played] = []
    try:
        common.meet(barrier, results)
        offset, began = stack.postgres.log.stat().st_size, time.monotonic()
        while len(played) < len(processes):
            if results.empty():
                if not any(process.is_alive() for process in processes):
                    raise RuntimeError("the web processes are gone without a result")
                show(f"reading, {scenario}", sum(counters), plan.calls)
                stack.supervise()
                time.sleep(0.2)
                continue
            result = results.get()
            if isinstance(result, Exception):
                raise result
            played.append(result)
        seconds = time.monotonic() - began
    finally:
        for process in processes:
            process.join(10)
            process.kill()
    return _figures(played, seconds) | {"logged": _logged(stack.postgres.log, offset)}


def _figures(played: Sequence[Played], seconds: float) -> dict[str, Any]:
    def total(of: Callable[[Played], Counter[str]]) -> Counter[str]:
        return sum((of(each) for each in played), Counter())

    took: dict[str, list[float]] = {}
    for each in played:
        for name, times in each.took.items():
            took.setdefault(name, []).extend(times)
    asked, first, fresh = (
        total(lambda p: p.asked),
        total(lambda p: p.first),
        total(lambda p: p.fresh),
    )
    quarters = [total(lambda p, n=n: p.quarters[n]) for n in range(8)]  # type: ignore[misc]
    calls = {
        name: {
            **quantiles(times),
            "sent_sql": asked[name],
            "percent": _percent(asked[name], len(times)),
            "of_first_looks": first[name],
            "first_looks": fresh[name],
            "percent_by_quarter": [
                _percent(quarters[4 + n][name], quarters[n][name]) for n in range(4)
            ],
        }
        for name, times in sorted(took.items())
    }
    viral = ["reaction_of", "summaries of viral posts"]
    sent, made = sum(asked[name] for name in viral), sum(len(took.get(n, ())) for n in viral)
    statements = total(lambda p: p.statements)
    views = sum(each.viral_views for each in played)
    strange = total(lambda p: p.strange)
    queries = sum(n for name, n in statements.items() if name.split(":")[0] in viral)
    viewed = sum(each.viral_looked for each in played)
    return {
        "calls_per_s": round(sum(len(times) for times in took.values()) / seconds, 1),
        "failed": sum(each.failed for each in played),
        "calls": calls,
        "viral_calls": made,
        "viral_calls_sent_sql": sent,
        "viral_calls_percent": _percent(sent, made),
        "viral_statements_percent": _percent(queries, viewed),
        "viral_statements": queries,
        "viral_calls_views": viewed,
        "viral_calls_of_new_users": sum(strange[name] for name in viral),
        "viral_calls_first_looks": sum(fresh[name] for name in viral),
        "viral_views": views,
        "viral_views_asked": sum(each.viral_asked for each in played),
        "viral_views_percent": _percent(sum(each.viral_asked for each in played), views),
        "statements": dict(statements.most_common()),
        "react_statements": sum(
            number for name, number in statements.items() if name.startswith(("react:", "unreact:"))
        ),
    }


def _percent(part: int, whole: int) -> float:
    return round(100 * part / max(1, whole), 3)


# -- for people --------------------------------------------------------------------------------


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """For people."""
    for scenario, found in figures["scenarios"].items():
        common.print_table(
            f"Users' cache {scenario}: {figures['calls']:,} calls, {figures['writes']:.0%} writes, "
            f"arrivals: {figures['arrivals']}",
            ["call", "calls", "p50 µs", "p99 µs", "sent SQL", "%", "first looks", "of them SQL",
             "% by quarter"],
            [
                [
                    name,
                    each["n"],
                    each["p50"],
                    each["p99"],
                    each["sent_sql"],
                    each["percent"],
                    each["first_looks"],
                    each["of_first_looks"],
                    " ".join(f"{share:.1f}" for share in each["percent_by_quarter"]),
                ]
                for name, each in found["calls"].items()
            ],
            markdown,
        )  # fmt: skip
        if found["failed"]:
            common.err.print(f"{found['failed']:,} calls failed", style="red")
        common.print_table(
            "SQL statements by call",
            ["call: kind", "statements"],
            [*found["statements"].items(), *((f"log: {w}", n) for w, n in found["logged"].items())],
            markdown,
        )
        common.print_table(
            f"Goal: at most {GOAL_PERCENT:.0f} % of reaction_of and summaries on viral posts",
            ["of", "all", "sent SQL, or such", "%"],
            [
                [
                    "calls",
                    found["viral_calls"],
                    found["viral_calls_sent_sql"],
                    found["viral_calls_percent"],
                ],
                [
                    "calls, by statements for each post looked at",
                    found["viral_calls_views"],
                    found["viral_statements"],
                    found["viral_statements_percent"],
                ],
                [
                    "calls that look at something for the first time",
                    found["viral_calls"],
                    found["viral_calls_first_looks"],
                    _percent(found["viral_calls_first_looks"], found["viral_calls"]),
                ],
                [
                    "calls for a user for the first time",
                    found["viral_calls"],
                    found["viral_calls_of_new_users"],
                    _percent(found["viral_calls_of_new_users"], found["viral_calls"]),
                ],
                [
                    "(user, post) looked at, feeds included",
                    found["viral_views"],
                    found["viral_views_asked"],
                    found["viral_views_percent"],
                ],
            ],
            markdown,
        )
    found = figures["feed"]
    common.print_table(
        f"A feed of {found['posts']} posts, {FEED_VIRAL} of them viral; ratio of medians, warm to "
        f"bare: {found['ratio_of_medians']}",
        ["read", "p50 µs", "p99 µs", "round trips", "queries"],
        [
            ["summaries, warm", found["warm"]["p50"], found["warm"]["p99"],
             found["warm_round_trips"], 0],
            ["bare pipeline", found["bare_pipeline"]["p50"], found["bare_pipeline"]["p99"], 1, 0],
            *(
                [name, found[key]["p50"], found[key]["p99"], found[key]["round_trips"],
                 found[key]["queries"]]
                for key, name in (
                    ("cold", "summaries, nothing cached"),
                    ("cold_user", "summaries, nothing of the user cached"),
                    ("cold_reaction_of", "reaction_of, nothing of the user cached"),
                )
            ),
        ],
        markdown,
    )  # fmt: skip


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--reactors", type=click.IntRange(20_000, 500_000), default=200_000, show_default=True
)
@click.option("--strangers", type=click.IntRange(1_000, 1_000_000), default=200_000)
@click.option("--viral", "viral", type=click.IntRange(5, 50), default=10, show_default=True)
@click.option("--regular", type=click.IntRange(45, 5_000), default=300, show_default=True)
@click.option("--calls", type=click.IntRange(1_000), default=60_000, show_default=True)
@click.option("--writes", type=click.FloatRange(0, 1), default=0.1, show_default=True)
@click.option(
    "--newcomers",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of readers who reacted a moment ago.",
)
@click.option(
    "--others",
    type=click.FloatRange(0, 1),
    default=0.25,
    show_default=True,
    help="Share of readers who never reacted; the rest are old reactors.",
)
@click.option(
    "--readers",
    type=click.IntRange(100),
    default=1_000_000,
    help="How many of the old reactors, and of those who never reacted, read at all. [all]",
)
@click.option("--processes", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--threads", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--trace",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Take who comes when, and for what, from this trace: CSV (.gz) with the columns "
    "ts_seconds,user_id,item_id,type.",
)
@common.as_markdown
@common.as_json
def main(
    reactors: int,
    strangers: int,
    viral: int,
    regular: int,
    calls: int,
    writes: float,
    newcomers: float,
    others: float,
    readers: int,
    processes: int,
    threads: int,
    workers: int,
    trace: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Count what reads cost PostgreSQL, on a system of its own."""
    common.quiet_logs()
    world = World(
        reactors=reactors,
        strangers=strangers,
        viral=tuple(range(1_001, 1_001 + viral)),
        regular=tuple(range(100_001, 100_001 + regular)),
        viral_size=12_000,
        newcomers=newcomers,
        others=others,
        readers=readers,
        trace=trace.resolve() if trace else None,
    )
    with bars(36) as show:
        figures = run(world, Plan(calls, writes, processes, threads), workers, show)
    print_tables(figures, as_markdown)
    common.finish(figures, as_json)
