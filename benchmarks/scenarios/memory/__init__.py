"""Bytes that Redis needs for reactions, everything counted, beside a plain hash.

``python -m benchmarks memory`` measures the difference of the server's ``used_memory`` over many
posts of one size, divided by their reactions: keys, table slots, expiries, counts and all buckets
are in it. Buffers of clients are taken off, and nothing is read before rehashing and lazy freeing
are over. So that the growth of the key tables does not decide the figure, the number of posts is
such that the keys fill seven tenths to four fifths of the tables of both servers (5.5 x 2^m keys:
the tables of Redis end at 8 x 2^m, those of Valkey at 7 x 2^m). Where posts grow, the fill is what
it is, 50 to 100 %, which moves the figure by 0.1 byte a reaction at most.

All sizes are in bytes; those of ``--json`` too.
"""

from __future__ import annotations

import contextlib
import logging
import random
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
from redis import Redis
from sqlalchemy import create_engine, text

from benchmarks.support import common
from benchmarks.support.common import Show, spread_id
from reactions.cli.console import bars
from reactions.core.constants import SHARDS
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.postgres.queries import Queries
from reactions.redis import buckets, keys
from reactions.redis.cache_install import CacheInstall
from reactions.redis.clock import Clock
from reactions.redis.outbox_state import OutboxState
from reactions.redis.pipeline import run_many
from reactions.redis.scripts import writes
from reactions.redis.user_cache import UserCache
from reactions.redis.writes import RedisWrites

SIZES = (100, 200, 400, 500, 513, 1_000, 2_000, 3_000, 5_000, 9_999)
"""Reactions of a regular post; the last is the largest below the threshold."""

SMALL = 1_000
"""Posts grow in two groups, up to this size and beyond, to have many of the small ones."""

VIRAL = (10_000, 100_000, 1_000_000)
MAX_USER_POSTS = (1, 10, 100, 500)
DELETED = (1_000, 10_000, 100_000)
WAYS = ("loaded", "grown", "plain")
BRIEF = 50.0
"""Bytes a reaction: the brief's 50 KB for 1,000."""
GOAL = 20.0
VIRAL_GOAL = 50_000
"""Bytes of a viral post."""

STEADY_S = 30.0
READ_EVERY_S = 0.12  # the server's cron runs ten times a second
ENOUGH = 4  # equal readings in a row


@dataclass(frozen=True, slots=True)
class Regular:
    """Posts of one size, kept in one way.

    Attributes:
        way: ``loaded`` by a load; ``grown`` by react and the persister; ``plain``,
            one hash user -> type and one of the counts, with a TTL each.
        keys: of one post, on average.
        a_reaction: bytes.
        a_post: bytes.
        tables: share of the buckets that are no listpack (any more).
    """

    server: str
    bits: int
    way: str
    size: int
    posts: int
    keys: float
    a_reaction: float
    a_post: float
    tables: float


@dataclass(frozen=True, slots=True)
class Viral:
    """One viral post.

    Attributes:
        reactors: distinct users that reacted.
        used: difference of used_memory by its keys.
        usage: sum of MEMORY USAGE of its keys.
        by_key: MEMORY USAGE of each, by the last part of its name; buckets together.
    """

    server: str
    bits: int
    reactors: int
    used: int
    usage: int
    by_key: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Each:
    """Bytes of one thing of a kind: a user's hash, or the mark of a deleted post."""

    server: str
    bits: int
    number: int
    """Reactions of the user; or deleted posts in all, over 100 shards."""
    bytes: float


class Nobody(UserCache):
    """The user cache of another server: their hashes are measured by themselves, not with posts."""

    def write_through(self, rows: Iterable[Row], until_us: int) -> None:
        """Written elsewhere."""


class Bench:
    """One server with the engine's parts on it."""

    def __init__(self, name: str, settings: Settings, budget: int, step: int, show: Show) -> None:
        self.name = name
        self._settings = settings
        self._budget = budget
        self._step = step
        self._show = show
        self._database = Database(settings, name="reactions-bench")
        self.client: Redis = Redis.from_url(
            settings.redis_url.get_secret_value(), socket_timeout=60
        )
        self._cache = CacheInstall(self.client, settings)
        self._outbox = OutboxState(self.client, settings)
        self._clock = Clock(self.client, settings)
        self._users = UserCache(self.client, settings)
        self._writes = RedisWrites(self.client, settings)
        self._loader = CacheLoader(self._cache, Queries(self._database), settings)
        self._persister = Persister(self.client, self._database, settings)
        self._persister._recorder._users = Nobody(self.client, settings)
        self._codes = list(settings.reaction_types.values())
        self._chance = random.Random(7)

    def close(self) -> None:
        self._database.close()
        self.client.close()

    # -- measuring -----------------------------------------------------------------------------

    def used(self) -> int:
        """used_memory without buffers, once it stands still."""
        deadline = time.monotonic() + STEADY_S
        readings: list[int] = []
        while time.monotonic() < deadline:
            info: Any = self.client.info("memory")
            readings.append(
                info["used_memory"] - info["mem_clients_normal"] - info.get("mem_aof_buffer", 0)
            )
            last = readings[-ENOUGH:]
            if len(last) == ENOUGH and len(set(last)) == 1 and not info["lazyfree_pending_objects"]:
                break
            time.sleep(READ_EVERY_S)
        return readings[-1]

    def clean(self) -> int:
        """Empty both stores, have the scripts loaded and the outbox's own keys made; what is used.

        A clock and a histogram of lags for each shard are no part of a post.
        """
        self.client.flushall()
        with self._database.transaction() as connection:
            connection.execute(text("TRUNCATE reactions, reaction_counts"))
        warm = [shard + SHARDS for shard in range(SHARDS)]
        for user_id in (1, 2, 3):
            self._react((user_id, post_id) for post_id in warm)
            self._drain()
        self._load([(post_id, {1: 1}) for post_id in warm[:1]])
        self._users.write_through([Row(1, 1, 1, 1)], 0)
        self._writes.delete_post(1)
        self.client.delete(keys.outbox_deleted(1), keys.outbox_deletions(1))
        self._drop("post:*", "user:*")
        return self.used()

    def _drop(self, *patterns: str) -> None:
        for pattern in patterns:
            batch: list[bytes] = []
            for key in self.client.scan_iter(match=pattern, count=5_000):
                batch.append(key)
                if len(batch) == 5_000:
                    self.client.unlink(*batch)
                    batch = []
            if batch:
                self.client.unlink(*batch)

    def _users_of(self, bits: int, first: int, last: int) -> Iterator[int]:
        return (spread_id(number, bits) for number in range(first, last + 1))

    def _post_ids(self, bits: int, posts: int) -> list[int]:
        return [spread_id(number, bits) for number in range(1, posts + 1)]

    def _rows(self, bits: int, size: int) -> dict[int, int]:
        return {user: self._chance.choice(self._codes) for user in self._users_of(bits, 1, size)}

    def _regular(
        self, bits: int, way: str, size: int, post_ids: Sequence[int], used: int
    ) -> Regular:
        names = [name for p in post_ids for name in self._keys_of(p)]
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.object("encoding", name)
            encodings = pipe.execute()
        hashes = [
            encoding
            for name, encoding in zip(names, encodings, strict=True)
            if b"reaction_counts" not in name
        ]
        return Regular(
            self.name,
            bits,
            way,
            size,
            len(post_ids),
            round(len(names) / len(post_ids), 2),
            round(used / len(post_ids) / size, 2),
            round(used / len(post_ids), 1),
            round(sum(encoding == b"hashtable" for encoding in hashes) / len(hashes), 3),
        )

    def _keys_of(self, post_id: int) -> list[bytes]:
        """The keys of a post that are there; in a pipeline, as a scan would take all keys."""
        first = keys.post_reactions(post_id)
        mark: Any = self.client.hget(first, str(buckets.MARK))
        names = [keys.bucket(first, number) for number in range(max(1, abs(int(mark or 1))))]
        names += [
            keys.post_reaction_counts(post_id),
            keys.post_viral(post_id),
            keys.post_total_reactions(post_id),
            keys.post_recent(post_id),
            keys.post_uniques(post_id),
            keys.post_loading(post_id),
            keys.post_pending(post_id),
            keys.post_claimed(post_id),
            keys.post_delta(post_id),
        ]
        with self.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.exists(name)
            there = pipe.execute()
        return [name.encode() for name, exists in zip(names, there, strict=True) if exists]

    def _posts_for(self, size: int, keys_each: int) -> int:
        """Posts whose keys fill the tables as the header says, within the budget of reactions."""
        posts = 0
        for power in range(2, 40):
            wanted = round(5.5 * 2**power / keys_each)
            if posts and wanted * size > self._budget:
                break
            posts = max(1, wanted)
        return posts

    # -- regular posts -------------------------------------------------------------------------

    def loaded(self, bits: int, size: int) -> Regular:
        """Posts as a load leaves them."""
        before = self.clean()
        post_ids = self._post_ids(bits, self._posts_for(size, buckets.count_for(size) + 1))
        self._load([(post_id, self._rows(bits, size)) for post_id in post_ids])
        return self._regular(bits, "loaded", size, post_ids, self.used() - before)

    def _load(self, posts: Sequence[tuple[int, Mapping[int, int]]]) -> None:
        for post_id, rows in posts:
            counts = {code: sum(1 for c in rows.values() if c == code) for code in self._codes}
            self._cache.fence_many([post_id], "load")
            self._cache.install_counts_of_loads({post_id: counts}, "load")
            if not self._cache.install_hashes({post_id: "load"}, {post_id: rows}):
                raise click.ClickException(f"the load of post {post_id} was refused")

    def plain(self, bits: int, size: int) -> Regular:
        """The same entries in one hash, with the counts and a TTL each, as the brief says."""
        before = self.clean()
        post_ids = self._post_ids(bits, self._posts_for(size, 2))
        for post_id in post_ids:
            rows = self._rows(bits, size)
            counts = {code: sum(1 for c in rows.values() if c == code) for code in self._codes}
            with self.client.pipeline(transaction=False) as pipe:
                for name, fields in (
                    (keys.post_reactions(post_id), rows),
                    (keys.post_reaction_counts(post_id), counts),
                ):
                    pipe.hset(name, mapping={str(f): v for f, v in fields.items()})
                    pipe.pexpire(name, self._settings.cache_ttl_regular_s * 1000)
                pipe.execute()
        return self._regular(bits, "plain", size, post_ids, self.used() - before)

    def grown(self, bits: int, sizes: Sequence[int]) -> Iterator[Regular]:
        """Posts as reactions and drains leave them, at each of these sizes."""
        before = self.clean()
        post_ids = self._post_ids(bits, max(1, self._budget // max(sizes)))
        now = 0
        for size in sizes:
            while now < size:
                until = min(size, now + self._step)
                self._react(
                    (user, post_id)
                    for user in self._users_of(bits, now + 1, until)
                    for post_id in post_ids
                )
                self._drain()
                now = until
            self._complete(post_ids)
            yield self._regular(bits, "grown", size, post_ids, self.used() - before)

    def _complete(self, post_ids: Sequence[int]) -> None:
        """Have every complete hash cached, as reads would."""
        missing = [p for p, found in self._sizes(post_ids).items() if not found]
        for post_id in missing:
            # A drain fences more posts than it then loads; reads would wait for that to lapse.
            self.client.delete(keys.post_loading(post_id))
            self._loader.load([post_id])
        if not all(self._sizes(post_ids).values()):
            raise click.ClickException("a post's hash is not cached")

    def _sizes(self, post_ids: Sequence[int]) -> dict[int, int]:
        with self.client.pipeline(transaction=False) as pipe:
            for post_id in post_ids:
                pipe.hget(keys.post_reactions(post_id), str(buckets.MARK))
            return {p: int(mark or 0) for p, mark in zip(post_ids, pipe.execute(), strict=True)}

    def _react(self, pairs: Iterable[tuple[int, int]]) -> None:
        """The script of react(), a thousand in a pipeline; this process is its own drain."""
        batch = []
        for user_id, post_id in pairs:
            batch.append((user_id, post_id, self._chance.choice(self._codes)))
            if len(batch) == 1_000:
                self._writes.record_many(batch)
                batch = []
        self._writes.record_many(batch)

    def _drain(self) -> None:
        while self._outbox.pending():
            self._persister.drain(range(SHARDS))

    # -- viral posts, users, deleted posts -----------------------------------------------------

    def viral(self, bits: int, reactors: int) -> Viral:
        """One post with so many distinct reactors, by the real path."""
        self.clean()
        post_id = spread_id(1, bits)
        phase = f"{self.name}, {bits} bits: viral"
        for first in range(1, reactors + 1, 2_000):
            last = min(first + 1_999, reactors)
            self._react((user, post_id) for user in self._users_of(bits, first, last))
            self._drain()
            self._show(phase, last, reactors)
        names = self._keys_of(post_id)
        by_key: dict[str, int] = {}
        for name in names:
            part = name.decode().split(":")[3]
            by_key[part] = by_key.get(part, 0) + self._usage(name)
        full = self.used()
        self.client.unlink(*names)
        return Viral(self.name, bits, reactors, full - self.used(), sum(by_key.values()), by_key)

    def _usage(self, name: bytes) -> int:
        usage: Any = self.client.memory_usage(name, samples=0)
        return int(usage)

    def user(self, bits: int, number: int) -> Each:
        """A user's hash with so many reactions, as drains write it."""
        before = self.clean()
        users = self._posts_for(number, 1)
        post_ids = self._post_ids(bits, number)
        until = int(self._clock.now_us()) + 600_000_000
        for first in range(1, users + 1, 100):
            last = min(users, first + 99)
            self._users.write_through(
                [
                    Row(post_id, user_id, self._chance.choice(self._codes), 1)
                    for user_id in self._users_of(bits, first, last)
                    for post_id in post_ids
                ],
                until,
            )
        return Each(self.name, bits, number, round((self.used() - before) / users, 1))

    def deleted(self, bits: int, number: int) -> Each:
        """The mark of a deleted post, once its rows are gone."""
        before = self.clean()
        post_ids = self._post_ids(bits, number)
        for at in range(0, number, 1_000):
            run_many(self.client, [writes.delete(p) for p in post_ids[at : at + 1_000]])
        for shard in range(SHARDS):
            self.client.delete(keys.outbox_deletions(shard))  # as the eraser leaves it
        return Each(self.name, bits, number, round((self.used() - before) / number, 1))


@dataclass(slots=True)
class Plan:
    """What is to be measured."""

    servers: Sequence[str]
    bits: Sequence[int]
    sizes: Sequence[int]
    viral: Sequence[int]
    budget: int
    step: int


def measure(plan: Plan, show: Show) -> dict[str, Any]:
    """All of it; the figures are those of the JSON."""
    regular: list[Regular] = []
    viral: list[Viral] = []
    users: list[Each] = []
    deleted: list[Each] = []
    versions: dict[str, str] = {}
    with common.folder("memory") as where, common.running_postgres(where) as postgres:
        settings = common.settings_with(database_url=postgres.url)
        migrate(settings)
        _make_fast(settings)
        for server_name in plan.servers:
            # The file of the server's log of commands takes no part in what is measured.
            with common.running_redis(where, server_name, {"appendonly": "no"}) as server:
                here = common.settings_with(database_url=postgres.url, redis_url=server.url)
                bench = Bench(server_name, here, plan.budget, plan.step, show)
                with contextlib.closing(bench):
                    versions[server_name] = common.version_of(bench.client)
                    for bits in plan.bits:
                        regular += _regular(bench, bits, plan.sizes, show)
                        viral += [
                            bench.viral(bits, reactors)
                            for reactors in plan.viral
                            # A million once a server: the wider ids, which need more.
                            if reactors <= 100_000 or bits == max(plan.bits)
                        ]
                        users += [bench.user(bits, number) for number in MAX_USER_POSTS]
                        deleted += [bench.deleted(bits, number) for number in DELETED]
    return {
        "machine": common.machine(),
        "servers": versions,
        "regular": [asdict(each) for each in regular],
        "viral": [asdict(each) for each in viral],
        "users": [asdict(each) for each in users],
        "deleted": [asdict(each) for each in deleted],
    }


def _regular(bench: Bench, bits: int, sizes: Sequence[int], show: Show) -> list[Regular]:
    phase = f"{bench.name}, {bits} bits: regular"
    total = 3 * len(sizes)
    found: list[Regular] = []
    for size in sizes:
        found += [bench.loaded(bits, size), bench.plain(bits, size)]
        show(phase, len(found), total)
    small = [size for size in sizes if size <= SMALL]
    large = [size for size in sizes if size > SMALL]
    for group in (small, large):
        for each in bench.grown(bits, group) if group else ():
            found.append(each)
            show(phase, len(found), total)
    return found


def _make_fast(settings: Settings) -> None:
    """PostgreSQL without waiting for the disk: what is measured is Redis."""
    engine = create_engine(settings.database_url.get_secret_value(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("ALTER SYSTEM SET synchronous_commit = off"))
        connection.execute(text("ALTER SYSTEM SET max_wal_size = '4GB'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """For people."""
    regular = figures["regular"]
    widths = sorted({each["bits"] for each in regular})
    sizes = sorted({each["size"] for each in regular})
    of = {(each["server"], each["bits"], each["way"], each["size"]): each for each in regular}
    for server, version in figures["servers"].items():
        header = ["reactions"]
        for bits in widths:
            header += [f"{bits} bits: {way}" for way in WAYS] + ["hash tables, grown"]
        rows: list[list[object]] = []
        for size in sizes:
            row: list[object] = [size]
            for bits in widths:
                found = [of.get((server, bits, way, size)) for way in WAYS]
                row += [each and each["a_reaction"] for each in found]
                row.append(found[1] and f"{found[1]['tables']:.0%}")
            rows.append(row)
        common.print_table(
            f"Bytes a reaction of a regular post, {version} (the brief: {BRIEF:.0f})",
            header,
            rows,
            markdown,
        )
    parts = sorted({part for each in figures["viral"] for part in each["by_key"]})
    common.print_table(
        "Bytes of a viral post (asked: at most 50,000)",
        ["server, ids", "reactors", "used_memory", "MEMORY USAGE", *parts],
        [
            [
                f"{figures['servers'][each['server']]}, {each['bits']} bits",
                each["reactors"],
                each["used"],
                each["usage"],
                *(each["by_key"].get(part) for part in parts),
            ]
            for each in figures["viral"]
        ],
        markdown,
    )
    for kind, title in (
        ("users", "Bytes of a user's hash by its reactions"),
        ("deleted", "Bytes of a deleted post's mark by the number of deleted posts"),
    ):
        numbers = sorted({each["number"] for each in figures[kind]})
        each_of = {(e["server"], e["bits"], e["number"]): e["bytes"] for e in figures[kind]}
        common.print_table(
            title,
            ["server, ids", *(f"{number:,}" for number in numbers)],
            [
                [f"{figures['servers'][s]}, {b} bits", *(each_of.get((s, b, n)) for n in numbers)]
                for s, b in dict.fromkeys((s, b) for s, b, _ in each_of)
            ],
            markdown,
        )


# -- plots -------------------------------------------------------------------------------------

INK = {"valkey": "#0b7285", "redis": "#c92a2a"}


def plot(figures: Mapping[str, Any], target: Path) -> None:
    """``memory.svg`` and ``memory_total.svg`` in a folder."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "reactions", "svg.fonttype": "none", "font.size": 9})
    target.mkdir(parents=True, exist_ok=True)
    _plot_each(figures, target / "memory.svg")
    _plot_total(figures, target / "memory_total.svg")


def _lines(figures: Mapping[str, Any], what: str) -> Iterator[tuple[str, dict[str, Any], Any, Any]]:
    """Label, style, sizes and values of each line."""
    regular = figures["regular"]
    for server, version in figures["servers"].items():
        for bits in sorted({each["bits"] for each in regular}):
            for way, style in (("loaded", "--"), ("grown", "-"), ("plain", ":")):
                found = sorted(
                    (each["size"], each[what])
                    for each in regular
                    if (each["server"], each["bits"], each["way"]) == (server, bits, way)
                )
                if found:
                    sizes, values = zip(*found, strict=True)
                    look = {
                        "color": INK[server],
                        "linestyle": style,
                        "marker": "o" if bits > 31 else ".",
                        "markersize": 3,
                        "linewidth": 1.1,
                    }
                    yield f"{version}, {bits}-bit ids, {way}", look, sizes, values


def _plot_each(figures: Mapping[str, Any], target: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.5, 5))
    for label, look, sizes, values in _lines(figures, "a_reaction"):
        axes.plot(sizes, values, label=label, **look)
    axes.axhline(BRIEF, color="#868e96", linewidth=1, linestyle="-.", label="the brief: 50")
    axes.axhline(GOAL, color="#2b8a3e", linewidth=1, label="goal: 20")
    axes.set_xscale("log")
    axes.set_ylim(0)
    axes.set_xlabel("reactions of the post")
    axes.set_ylabel("bytes a reaction, everything counted")
    _save(figure, axes, target)


def _plot_total(figures: Mapping[str, Any], target: Path) -> None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8.5, 5))
    for label, look, sizes, values in _lines(figures, "a_post"):
        if not label.endswith("loaded"):
            axes.plot(sizes, values, label=label, **look)
    for server, version in figures["servers"].items():
        for bits in sorted({each["bits"] for each in figures["viral"]}):
            found = sorted(
                (each["reactors"], each["used"])
                for each in figures["viral"]
                if (each["server"], each["bits"]) == (server, bits)
            )
            if found:
                sizes, values = zip(*found, strict=True)
                axes.plot(
                    sizes,
                    values,
                    color=INK[server],
                    marker="s" if bits > 31 else "D",
                    markersize=4,
                    linewidth=2,
                    label=f"{version}, {bits}-bit ids, viral",
                )
    most = max((each["reactors"] for each in figures["viral"]), default=10_000)
    axes.plot(
        [100, most], [100 * BRIEF, most * BRIEF], color="#868e96", linewidth=1, linestyle="-.",
        label="the brief: 50 a reaction",
    )  # fmt: skip
    axes.axhline(VIRAL_GOAL, color="#2b8a3e", linewidth=1, label="goal of a viral post: 50 KB")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("reactions of the post")
    axes.set_ylabel("bytes of the post, everything counted")
    _save(figure, axes, target)


def _save(figure: Any, axes: Any, target: Path) -> None:  # noqa: ANN401 - of matplotlib
    axes.grid(True, which="major", linewidth=0.4, alpha=0.5)
    axes.legend(fontsize=6.5, loc="upper left")
    figure.tight_layout()
    figure.savefig(target, metadata={"Date": None})


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--server",
    "servers",
    type=click.Choice(["valkey", "redis"]),
    multiple=True,
    default=("valkey", "redis"),
    show_default=True,
)
@click.option("--bits", type=click.Choice(["31", "62"]), multiple=True, default=("31", "62"))
@click.option(
    "--size",
    "sizes",
    type=click.IntRange(1, 9_999),
    multiple=True,
    default=SIZES,
    help="Reactions of a regular post; may be given several times.",
)
@click.option(
    "--viral-most",
    type=click.IntRange(0),
    default=1_000_000,
    show_default=True,
    help="Most reactors of the viral post; 0 leaves it out.",
)
@click.option(
    "--budget",
    type=click.IntRange(1_000),
    default=250_000,
    show_default=True,
    help="About how many reactions a figure is made of.",
)
@click.option(
    "--step",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="Reactions that a growing post takes between two drains.",
)
@click.option(
    "--plots",
    type=click.Path(file_okay=False, path_type=Path),
    help="Write memory.svg and memory_total.svg to this folder (needs matplotlib).",
)
@common.as_markdown
@common.as_json
def main(
    servers: tuple[str, ...],
    bits: tuple[str, ...],
    sizes: tuple[int, ...],
    viral_most: int,
    budget: int,
    step: int,
    plots: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure the bytes that Redis needs for reactions, on servers of its own."""
    common.quiet_logs()
    logging.getLogger("reactions").setLevel(logging.ERROR)
    plan = Plan(
        list(dict.fromkeys(servers)),
        sorted({int(width) for width in bits}),
        sorted(set(sizes)),
        [number for number in VIRAL if number <= viral_most],
        budget,
        step,
    )
    with bars(36) as show:
        figures = measure(plan, show)
    print_tables(figures, as_markdown)
    if plots is not None:
        plot(figures, plots)
    common.finish(figures, as_json)
