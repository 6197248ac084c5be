"""``python -m benchmarks partitions``: what a primary loses that is cut off from the other nodes.

Its clients still reach it. It accepts reactions until it notices, while its replica takes over;
when the cable is mended, it follows the new primary and forgets what it accepted. Threads react as
fast as they can, each time as another user. Nothing drains, so every acknowledged reaction must be
in the outbox afterwards. It needs Linux, root and the command ``ip``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from benchmarks.scenarios.failovers import THREADS, Writer, missing, serves
from benchmarks.support import machine, output, servers
from benchmarks.support.cluster import NODE_TIMEOUT_MS, command, is_complete
from benchmarks.support.cut_off import CutCluster, running_cut_cluster
from benchmarks.support.output import Show
from benchmarks.support.waiting import wait_until
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.errors import StackError
from reactions.redis.connection import connect

CASES = [(0, 0, 10), (0, 1, 10), (0, 1, 1), (1, 0, 10), (1, 1, 1)]
"""``replicas=`` of each call, ``min-replicas-to-write`` and ``min-replicas-max-lag``."""

FAILOVER_S = 120.0
"""The longest time until all nodes agree again."""


def run(seconds: float, show: Show) -> list[dict[str, Any]]:
    """Every case, each on a cluster of its own."""
    found = []
    for number, case in enumerate(CASES):
        with (
            servers.temporary_folder("partitions") as where,
            running_cut_cluster(Path(where)) as cluster,
        ):
            found.append(measure(cluster, *case, seconds))
        show("partitions", number + 1, len(CASES))
    return found


def measure(
    cluster: CutCluster, replicas: int, least: int, lag: int, seconds: float
) -> dict[str, Any]:
    """One case. Returns how many acknowledged reactions are missing, and the longest gap."""
    for node in cluster.nodes:
        command(node, "CONFIG", "SET", "min-replicas-to-write", least)
        command(node, "CONFIG", "SET", "min-replicas-max-lag", lag)
    with ExitStack() as stack:
        settings = servers.settings_with(redis_url=cluster.url, redis_cluster=True)
        client = stack.enter_context(connect(settings))
        reactions = stack.enter_context(Reactions(settings))
        writers = [Writer(reactions, 1 + number, replicas) for number in range(THREADS)]
        for writer in writers:
            writer.start()
        time.sleep(seconds)
        cut_off(cluster)
        time.sleep(seconds)
        for writer in writers:
            writer.stopping = True
        for writer in writers:
            writer.join()
        mend(cluster)
        acknowledged = [each for writer in writers for each in writer.acknowledged]
        return {
            "replicas": replicas,
            "min_replicas_to_write": least,
            "min_replicas_max_lag_s": lag,
            "acknowledged": len(acknowledged),
            "lost": missing(client, acknowledged),
            "refused": sum(writer.refused for writer in writers),
            "longest_gap_s": round(max(max(w.gaps.values()) for w in writers), 2),
        }


def cut_off(cluster: CutCluster) -> None:
    """Cut the cable, and wait until the replica serves."""
    cluster.cables.cut(True)
    others = cluster.nodes[1:]
    wait_until(
        lambda: serves(cluster.replicas[0]) and all(map(is_complete, others)),
        FAILOVER_S,
        "the replica serves",
    )


def mend(cluster: CutCluster) -> None:
    """Mend the cable, and wait until the old primary follows the new one."""
    cluster.cables.cut(False)
    wait_until(
        lambda: not serves(cluster.primaries[0]) and all(map(is_complete, cluster.nodes)),
        FAILOVER_S,
        "the old primary follows the new one",
    )


def print_tables(found: list[dict[str, Any]], markdown: bool) -> None:
    output.print_table(
        f"One of three primaries is cut off; node time-out {NODE_TIMEOUT_MS / 1e3:g} s",
        [
            "replicas=",
            "min-replicas",
            "max-lag in s",
            "acknowledged",
            "lost",
            "refused",
            "gap in s",
        ],
        [list(each.values()) for each in found],
        markdown,
    )


@click.command(context_settings=output.HELP)
@click.option(
    "--seconds",
    type=click.FloatRange(0.1, 600),
    default=3.0,
    show_default=True,
    help="How long to write before the cut, and after the replica serves.",
)
@output.as_markdown
@output.as_json
def main(seconds: float, as_markdown: bool, as_json: bool) -> None:
    """Measure what a primary of a Redis Cluster loses that is cut off from the other nodes."""
    output.quiet_logs()
    try:
        with bars(36) as show:
            found = run(seconds, show)
    except StackError as error:
        raise click.ClickException(str(error)) from error
    print_tables(found, as_markdown)
    output.finish({"machine": machine.summary(), "cases": found}, as_json)
