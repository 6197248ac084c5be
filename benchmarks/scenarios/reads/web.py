"""One web process: several threads that read and write as people do."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from benchmarks.scenarios.reads.world import Plan, World, Zipf, arrivals
from reactions.api.client import Reactions

FEED = 50
"""Posts of a feed of mixed posts, drawn by popularity."""

VIRAL_FEED = 10

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
"""Kind of read -> its weight. The last two read their lists from PostgreSQL by design."""


@dataclass(slots=True)
class Played:
    """What a web process did, by the kind of call. Times are in µs."""

    took: dict[str, list[float]] = field(default_factory=dict)
    sent_sql: Counter[str] = field(default_factory=Counter)
    """Calls that sent SQL."""
    first: Counter[str] = field(default_factory=Counter)
    """Of these, calls about a (user, viral post) that is new to this process."""
    fresh: Counter[str] = field(default_factory=Counter)
    """Calls about a new (user, viral post), with or without SQL."""
    strange: Counter[str] = field(default_factory=Counter)
    """Calls for a user that is new to this process."""
    quarters: list[Counter[str]] = field(default_factory=lambda: [Counter() for _ in range(8)])
    """Calls of each quarter of the run, then the calls that sent SQL of each quarter."""
    statements: Counter[str] = field(default_factory=Counter)
    """SQL statements, by ``call: kind of statement``."""
    viral_only_pairs: int = 0
    """(user, viral post) pairs of calls about viral posts alone."""
    viral_pairs: int = 0
    """(user, viral post) pairs of all calls."""
    viral_pairs_queried: int = 0
    """Of these, the pairs that were looked up in PostgreSQL."""
    failed: int = 0


class Web:
    """Makes the calls of one web process, and records them."""

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
        self._arrivals = arrivals(world, number, plan.processes)
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
        event.listen(
            client._reads.reads().database.engine, "before_cursor_execute", self._statement
        )

    def forget(self) -> None:
        """Drop what was recorded so far."""
        self._played = Played()

    def play(self) -> Played:
        """Make all calls of this process, divided among its threads."""
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
        """Count a statement for the call that this thread makes."""
        _, _, statement, parameters, _, _ = args
        now = self._now
        now.statements = getattr(now, "statements", 0) + 1
        viral = 0
        if "unnest" in statement and isinstance(parameters, Mapping):
            wanted = str(parameters["posts"]).strip("{}").split(",")
            viral = sum(int(post) in self._is_viral for post in wanted if post)
        with self._lock:
            self._played.statements[f"{getattr(now, 'call', 'warm-up')}: {_kind(statement)}"] += 1
            self._played.viral_pairs_queried += viral

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
        except Exception:  # noqa: BLE001 - only the number of errors matters here
            failed = 1
        took = (time.perf_counter() - began) * 1e6
        with self._lock:
            played = self._played
            played.took.setdefault(name, []).append(took)
            played.failed += failed
            self._counters[self._number] += 1
            played.viral_pairs += len(pairs)
            if len(pairs) == len(posts):
                played.viral_only_pairs += len(pairs)
            played.quarters[quarter][name] += 1
            played.fresh[name] += new
            played.strange[name] += strange
            if now.statements:
                played.sent_sql[name] += 1
                played.first[name] += new
                played.quarters[4 + quarter][name] += 1

    def _write(self, user: int, post: int, reaction: str | None) -> Callable[[], object]:
        if reaction is None:
            return lambda: self._client.unreact(user, post)
        return lambda: self._client.react(user, post, reaction)

    def _read(
        self, name: str, chance: random.Random
    ) -> tuple[Callable[[], object], int, Sequence[int]]:
        """A call, and the user and the posts whose reactions it reads."""
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
        # Spread by a prime: how often users read is independent of when they reacted.
        return world.user(1 + self._old.draw(chance) * 7_919 % world.reactors)


def _kind(statement: str) -> str:
    if "unnest" in statement:
        return "own reactions by primary key"
    if "sum(reaction_counts" in statement:
        return "sum of a post's counts"
    if "reaction_counts" in statement:
        return "counts"
    return "list" if "ORDER BY" in statement else "other"


def work(
    meet: Callable[[], object],
    world: World,
    plan: Plan,
    number: int,
    counters: Any,  # noqa: ANN401 - shared memory has no public type
) -> Played:
    """One web process; it begins once its relay and its connections are up."""
    with Reactions() as client:
        web = Web(client, world, plan, number, counters)
        client.react(world.user(number + 1), 1 + number, "like")
        client.counts(1 + number)
        time.sleep(2)
        web.forget()
        meet()
        return web.play()
