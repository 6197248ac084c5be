"""Estimates what a fleet needs, from the unit costs of one reaction and one feed.

The model is a sum: a part's processor time for each second is what one reaction takes times the
reactions, and what one feed takes times the feeds. docs/capacity.md compares it with measurements,
and says where the design itself ends.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from redis.crc import key_slot

from reactions.core.constants import SHARDS
from reactions.core.errors import InvalidArgument

SLOTS = 16_384
"""Hash slots of a Redis Cluster."""

MAX_VALUE = 1e18
"""Beyond any load; it keeps the results finite."""

BUILT_IN = Path(__file__).with_name("unit_costs.json")
"""The unit costs of the two-core machine of docs/capacity.md."""


@dataclass(frozen=True, slots=True)
class UnitCosts:
    """What one reaction and one feed cost: processor time in µs, and bytes.

    Attributes:
        web_us_per_reaction: of the process that calls ``react()``.
        web_us_per_feed: of the process that calls ``summaries()``.
        web_us_per_feed_cluster: a feed takes so much more on a cluster.
        web_us_per_feed_node: and so much for each further node that it visits.
        redis_us_per_reaction: the call, and its share of the drain.
        redis_us_per_feed, _cluster, _node: as for the web process; of all nodes together.
        worker_us_per_reaction, postgres_us_per_reaction: until it is durable.
        postgres_us_per_first_feed: a feed of a user who reads for the first time in a day.
        redis_bytes_per_post: a cached post, without its reactions.
        redis_bytes_per_reaction: of a cached post.
        postgres_bytes_per_reaction: a row with its indexes.
        wal_bytes_per_reaction: of PostgreSQL's log; a standby receives as much.
        network_bytes_per_reaction, network_bytes_per_feed: to and from Redis.
        feed_posts: posts of the feed that was measured.
    """

    web_us_per_reaction: float
    web_us_per_feed: float
    web_us_per_feed_cluster: float
    web_us_per_feed_node: float
    redis_us_per_reaction: float
    redis_us_per_feed: float
    redis_us_per_feed_cluster: float
    redis_us_per_feed_node: float
    worker_us_per_reaction: float
    postgres_us_per_reaction: float
    postgres_us_per_first_feed: float
    redis_bytes_per_post: float
    redis_bytes_per_reaction: float
    postgres_bytes_per_reaction: float
    wal_bytes_per_reaction: float
    network_bytes_per_reaction: float
    network_bytes_per_feed: float
    feed_posts: float

    @classmethod
    def read(cls, path: Path = BUILT_IN) -> UnitCosts:
        """Read the costs from the last line that ``python -m benchmarks costs --json`` prints.

        Raises:
            InvalidArgument: a cost is missing, or is no number from 0 on.
        """
        try:
            found = json.loads(path.read_text().strip().splitlines()[-1])
        except (OSError, ValueError, IndexError) as error:
            raise InvalidArgument("costs", "a file with one JSON object", str(path)) from error
        if isinstance(found, dict) and isinstance(found.get("costs"), dict):
            found = found["costs"]
        values = {field.name: _cost(found, field.name) for field in fields(cls)}
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Load:
    """What the fleet shall serve.

    Attributes:
        reactions_per_s: reactions in each second.
        feeds_per_s: feeds in each second.
        posts: posts that Redis has cached.
        cached_reactions: reactions on those posts.
        rows: reactions that PostgreSQL stores.
        first_feeds: share of feeds by users who read for the first time in a day, 0 to 1.
        hottest: share of the reactions that go to one post, 0 to 1.
        busy: share of a core that may be busy at this load, above 0 and at most 1.
        redis_gb: memory of a Redis node, in GB.
        postgres_cores: cores of the PostgreSQL server.
        even_slots: whether the ranges of slots end between shards, so that Redis nodes have as many
            shards as each other, give or take one. Otherwise the ranges are equal.
    """

    reactions_per_s: float
    feeds_per_s: float
    posts: float = 1e6
    cached_reactions: float = 1e8
    rows: float = 1e9
    first_feeds: float = 0.05
    hottest: float = 0.01
    busy: float = 0.6
    redis_gb: float = 32.0
    postgres_cores: int = 32
    even_slots: bool = False

    def __post_init__(self) -> None:
        """Check the bounds.

        Raises:
            InvalidArgument: a value is out of its bounds.
        """
        for name, low, high in (
            ("reactions_per_s", 0.0, MAX_VALUE),
            ("feeds_per_s", 0.0, MAX_VALUE),
            ("posts", 0.0, MAX_VALUE),
            ("cached_reactions", 0.0, MAX_VALUE),
            ("rows", 0.0, MAX_VALUE),
            ("first_feeds", 0.0, 1.0),
            ("hottest", 0.0, 1.0),
            ("busy", 0.01, 1.0),
            ("redis_gb", 0.1, 1e6),
            ("postgres_cores", 1, 1_024),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidArgument(name, f"a number from {low:g} to {high:g}", value)


@dataclass(frozen=True, slots=True)
class Part:
    """What one part needs: cores that are busy, nodes or processes, memory, disk and network.

    Attributes:
        cores: processor seconds in each second.
        nodes: Redis nodes, PostgreSQL servers, or processes of one core.
        memory_gb, disk_gb: of all nodes together, without replicas.
        disk_gb_per_day: growth by new rows, if each reaction is a new row.
        network_mbit: bits in each second, to and from this part, in millions.
    """

    cores: float
    nodes: int
    memory_gb: float = 0.0
    disk_gb: float = 0.0
    disk_gb_per_day: float = 0.0
    network_mbit: float = 0.0


@dataclass(frozen=True, slots=True)
class Fleet:
    """The parts by name, and where the design ends before this load."""

    parts: Mapping[str, Part]
    limits: tuple[str, ...]

    def as_dict(self) -> dict[str, object]:
        """Return it as JSON has it."""
        parts = {name: asdict(part) for name, part in self.parts.items()}
        return {"parts": parts, "limits": list(self.limits)}


def estimate(load: Load, costs: UnitCosts) -> Fleet:
    """Return what the fleet needs for this load."""
    nodes, limits = _redis_nodes(load, costs)
    parts = {
        "web": _processes(load, busy_cores("web", load, costs, nodes)),
        "redis": Part(
            cores=busy_cores("redis", load, costs, nodes),
            nodes=nodes,
            memory_gb=_redis_bytes(load, costs) / 1e9,
            network_mbit=_redis_network(load, costs) * 8 / 1e6,
        ),
        "workers": _processes(load, load.reactions_per_s * costs.worker_us_per_reaction / 1e6),
        "postgresql": _postgres(load, costs),
    }
    if parts["postgresql"].nodes > 1:
        limits.append(
            f"PostgreSQL would need {parts['postgresql'].cores / load.busy:,.0f} cores, and this"
            f" version writes to one server: {load.postgres_cores} cores are not enough"
        )
    return Fleet(parts, tuple(limits))


def busiest_share(nodes: int, even: bool = False) -> float:
    """Share of the shards on the node that has most of them.

    Args:
        even: whether the ranges of slots end between shards; otherwise they are equal.
    """
    if even:
        return math.ceil(SHARDS / nodes) / SHARDS
    counts = [0] * nodes
    for shard in range(SHARDS):
        counts[key_slot(str(shard).encode()) * nodes // SLOTS] += 1
    return max(counts) / SHARDS


def visited(nodes: int, posts: float) -> float:
    """Nodes that a feed of so many posts visits on average; the user's own node is one more."""
    return nodes * (1 - math.pow(1 - 1 / nodes, posts + 1))


def _redis_nodes(load: Load, costs: UnitCosts) -> tuple[int, list[str]]:
    """The fewest nodes whose busiest one has the processor time and the memory."""
    limits = []
    hot = load.hottest * load.reactions_per_s * costs.redis_us_per_reaction / 1e6
    if hot > load.busy:
        limits.append(
            f"one post gets {load.hottest * load.reactions_per_s:,.0f} reactions/s; a post is on"
            f" one Redis node, which does {load.busy * 1e6 / costs.redis_us_per_reaction:,.0f}"
        )
    for nodes in range(1, SHARDS + 1):
        share = busiest_share(nodes, load.even_slots)
        memory = share * _redis_bytes(load, costs) / 1e9
        if share * busy_cores("redis", load, costs, nodes) <= load.busy and memory <= load.redis_gb:
            return nodes, limits
    cores = busy_cores("redis", load, costs, SHARDS)
    limit = (
        f"Redis would need {cores / load.busy:,.0f} cores, and {SHARDS} shards on {SHARDS} nodes do"
        " not give them"
    )
    if cores * busiest_share(SHARDS, even=True) <= load.busy:
        limit += "; even ranges of slots do: --even-slots"
    limits.append(limit)
    return SHARDS, limits


def busy_cores(part: str, load: Load, costs: UnitCosts, nodes: int) -> float:
    """Return the cores that ``web`` or ``redis`` keeps busy in all, with so many Redis nodes."""

    def cost(of: str) -> float:
        value: float = getattr(costs, f"{part}_us_per_{of}")
        return value

    feed = cost("feed")
    if nodes > 1:
        further = visited(nodes, costs.feed_posts) - 1
        feed += cost("feed_cluster") + further * cost("feed_node")
    return (load.reactions_per_s * cost("reaction") + load.feeds_per_s * feed) / 1e6


def _redis_bytes(load: Load, costs: UnitCosts) -> float:
    return (
        load.posts * costs.redis_bytes_per_post
        + load.cached_reactions * costs.redis_bytes_per_reaction
    )


def _redis_network(load: Load, costs: UnitCosts) -> float:
    return (
        load.reactions_per_s * costs.network_bytes_per_reaction
        + load.feeds_per_s * costs.network_bytes_per_feed
    )


def _postgres(load: Load, costs: UnitCosts) -> Part:
    first = load.feeds_per_s * load.first_feeds * costs.postgres_us_per_first_feed
    cores = (load.reactions_per_s * costs.postgres_us_per_reaction + first) / 1e6
    return Part(
        cores=cores,
        nodes=max(1, math.ceil(cores / load.busy / load.postgres_cores)),
        disk_gb=load.rows * costs.postgres_bytes_per_reaction / 1e9,
        disk_gb_per_day=load.reactions_per_s * 86_400 * costs.postgres_bytes_per_reaction / 1e9,
        network_mbit=load.reactions_per_s * costs.wal_bytes_per_reaction * 8 / 1e6,
    )


def _processes(load: Load, cores: float) -> Part:
    return Part(cores=cores, nodes=max(1, math.ceil(cores / load.busy)))


def _cost(found: object, name: str) -> float:
    value = found.get(name) if isinstance(found, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < MAX_VALUE:
        raise InvalidArgument(f"costs.{name}", "a number from 0 on", value)
    return float(value)
