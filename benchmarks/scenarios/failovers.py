"""``python -m benchmarks failovers``: what a failover of a Redis Cluster loses, and its time.

Threads react as fast as they can, each time as another user. In the middle, a replica takes over
from its primary. Nothing drains, so every acknowledged reaction must be in the outbox afterwards.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from redis.exceptions import RedisError

from benchmarks.support import machine, output, servers
from benchmarks.support.cluster import Cluster, command, is_complete
from benchmarks.support.output import Show
from benchmarks.support.waiting import wait_until
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.errors import NotReplicated, ReactionsUnavailable
from reactions.demo.embedded import Valkey
from reactions.redis.command_batch import CommandBatch
from reactions.redis.connection import Client, connect
from reactions.redis.keys import default_keys as keys

POSTS = range(1, 101)

THREADS = 4

BATCH = 5_000

CASES = [
    (way, replicas, least)
    for way in ("planned", "killed")
    for replicas in (0, 1)
    for least in (0, 1)
]
"""How the replica takes over, ``replicas=`` of each call, and ``min-replicas-to-write``."""


class Writer(threading.Thread):
    """Reacts on all posts in turn, as one user after the other.

    Attributes:
        acknowledged: (post, user) of each reaction that was acknowledged.
        refused: calls that raised.
        gaps: shard -> the longest time (s) between two acknowledgements of it.
    """

    def __init__(self, client: Reactions, first: int, replicas: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: list[tuple[int, int]] = []
        self.refused = 0
        self.gaps: dict[int, float] = {}
        self.stopping = False
        self._last: dict[int, float] = {}
        self._client, self._user, self._replicas = client, first, replicas

    def run(self) -> None:
        while not self.stopping:
            self._user += THREADS
            for post in POSTS:
                try:
                    self._client.react(self._user, post, "like", replicas=self._replicas)
                except (ReactionsUnavailable, NotReplicated):
                    self.refused += 1
                else:
                    self.acknowledged.append((post, self._user))
                    self._note(post % 100)

    def _note(self, shard: int) -> None:
        now = time.monotonic()
        self.gaps[shard] = max(self.gaps.get(shard, 0.0), now - self._last.get(shard, now))
        self._last[shard] = now


def run(seconds: float, show: Show) -> list[dict[str, Any]]:
    """Every case, each on a cluster of its own."""
    found = []
    for number, case in enumerate(CASES):
        with servers.temporary_folder("failovers") as where:
            found.append(measure(where, *case, seconds))
        show("failovers", number + 1, len(CASES))
    return found


def measure(where: Path, way: str, replicas: int, least: int, seconds: float) -> dict[str, Any]:
    """One case. Returns how many acknowledged reactions are missing, and the longest gap."""
    cluster = Cluster(where, 3, 1)
    with ExitStack() as stack:
        stack.callback(cluster.stop)
        cluster.start()
        for node in cluster.nodes:
            command(node, "CONFIG", "SET", "min-replicas-to-write", least)
        settings = servers.settings_with(redis_url=cluster.url, redis_cluster=True)
        client = stack.enter_context(connect(settings))
        reactions = stack.enter_context(Reactions(settings))
        writers = [Writer(reactions, 1 + number, replicas) for number in range(THREADS)]
        for writer in writers:
            writer.start()
        time.sleep(seconds)
        take_over(cluster, way)
        time.sleep(seconds)
        for writer in writers:
            writer.stopping = True
        for writer in writers:
            writer.join()
        acknowledged = [each for writer in writers for each in writer.acknowledged]
        return {
            "way": way,
            "replicas": replicas,
            "min_replicas_to_write": least,
            "acknowledged": len(acknowledged),
            "lost": missing(client, acknowledged),
            "refused": sum(writer.refused for writer in writers),
            "longest_gap_s": round(max(max(w.gaps.values()) for w in writers), 2),
        }


def take_over(cluster: Cluster, way: str) -> None:
    """Let the replica of the first primary take over, and wait until the others know it."""
    primary, replica = cluster.primaries[0], cluster.replicas[0]
    others = [node for node in cluster.nodes if node is not primary]
    if way == "planned":
        command(replica, "CLUSTER", "FAILOVER")
    else:
        primary.kill()
    wait_until(lambda: serves(replica) and all(map(is_complete, others)), 60, "the replica serves")


def serves(node: Valkey) -> bool:
    """Whether a node is a primary."""
    try:
        return bool(command(node, "ROLE")[0] == b"master")
    except RedisError:
        return False


def missing(client: Client, acknowledged: list[tuple[int, int]]) -> int:
    """Acknowledged reactions that no node has."""
    lost = 0
    for start in range(0, len(acknowledged), BATCH):
        with CommandBatch(client) as batch:
            for post, user in acknowledged[start : start + BATCH]:
                batch.hexists(keys.post_pending(post), str(user))
            lost += batch.execute().count(False)
    return lost


def print_tables(found: list[dict[str, Any]], markdown: bool) -> None:
    output.print_table(
        "Failovers of one of three primaries, under writes",
        ["how", "replicas=", "min-replicas", "acknowledged", "lost", "refused", "gap in s"],
        [list(each.values()) for each in found],
        markdown,
    )


@click.command(context_settings=output.HELP)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=3.0,
    show_default=True,
    help="How long to write before the failover, and after it.",
)
@output.as_markdown
@output.as_json
def main(seconds: float, as_markdown: bool, as_json: bool) -> None:
    """Measure what planned and unplanned failovers of a Redis Cluster lose."""
    output.quiet_logs()
    with bars(36) as show:
        found = run(seconds, show)
    print_tables(found, as_markdown)
    output.finish({"machine": machine.summary(), "cases": found}, as_json)
