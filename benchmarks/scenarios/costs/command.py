"""``python -m benchmarks costs``: what one reaction and one feed cost on this machine.

``reactions capacity --costs FILE`` takes the last line that ``--json`` prints. The costs of a
cluster come from two of them, with two and with six nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from benchmarks.scenarios.costs import fleet, measure
from benchmarks.support import machine, output
from benchmarks.support.output import Show
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.ops.capacity import visited

CLUSTERS = (2, 6)
"""Nodes of the two clusters."""


def one_server(seconds: float, workers: int, show: Show) -> dict[str, float]:
    """The costs with one Redis server."""
    found: dict[str, float] = {}
    with fleet.running(1) as servers, Reactions(servers.settings) as client:
        servers.start_workers(workers)
        show("one server", 1, 5)
        found |= measure.fill(client, servers)
        show("one server", 2, 5)
        for number, part in enumerate((measure.reactions, measure.feeds, measure.first_feeds)):
            found |= part(client, servers, seconds)
            show("one server", 3 + number, 5)
    return found


def on_cluster(nodes: int, seconds: float, workers: int, show: Show) -> dict[str, float]:
    """The costs that differ on a cluster of so many nodes."""
    name = f"{nodes} nodes"
    with fleet.running(nodes) as servers, Reactions(servers.settings) as client:
        servers.start_workers(workers)
        show(name, 1, 4)
        measure.fill(client, servers)
        show(name, 2, 4)
        found = measure.reactions(client, servers, seconds)
        show(name, 3, 4)
        found |= measure.feeds(client, servers, seconds)
        show(name, 4, 4)
    return found


def line(one: float, found: Mapping[int, float]) -> tuple[float, float]:
    """What a feed takes more on any cluster, and for each further node that it visits."""
    (few, first), (many, second) = sorted(found.items())
    posts = measure.FEED
    each = max(0.0, (second - first) / (visited(many, posts) - visited(few, posts)))
    return max(0.0, first - one - each * (visited(few, posts) - 1)), each


@click.command(context_settings=output.HELP)
@click.option("--seconds", type=click.FloatRange(0.2, 600), default=5.0, show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=2, show_default=True)
@output.as_markdown
@output.as_json
def main(seconds: float, workers: int, as_markdown: bool, as_json: bool) -> None:
    """Measure what one reaction and one feed cost, for `reactions capacity`."""
    output.quiet_logs()
    with bars(12) as show:
        found = one_server(seconds, workers, show)
        clusters = {nodes: on_cluster(nodes, seconds, workers, show) for nodes in CLUSTERS}
    for part in ("web", "redis"):
        feeds = {nodes: each[f"{part}_us_per_feed"] for nodes, each in clusters.items()}
        fixed, each = line(found[f"{part}_us_per_feed"], feeds)
        found |= {f"{part}_us_per_feed_cluster": fixed, f"{part}_us_per_feed_node": each}
    costs = {name: round(value, 1) for name, value in sorted(found.items())}
    measured: dict[str, Any] = {"machine": machine.summary(), "costs": costs}
    measured["clusters"] = {
        str(nodes): {name: round(value, 1) for name, value in each.items()}
        for nodes, each in clusters.items()
    }
    output.print_table("Unit costs", ["cost", "µs or bytes"], costs.items(), as_markdown)
    output.finish(measured, as_json)
