"""``python -m benchmarks cluster``: calls on a cluster of three nodes beside one server.

With ``--sentinel``, the other side is a primary with a replica, which three Sentinels watch.

Nothing drains. Both sides take turns in one process, so that the load of the machine meets both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import click

from benchmarks.support import machine, output, servers
from benchmarks.support.cluster import running_cluster
from benchmarks.support.output import Show
from benchmarks.support.sentinel import Watched
from benchmarks.support.statistics import spread
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.demo.replay import quantile
from reactions.drain.persister import Persister
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.redis.connection import connect

POSTS = 100
"""Posts of a batch and of a feed: one in each shard."""

USERS = 50
ONE = "one server"
THREE, WATCHED = "three nodes", "a primary with Sentinels"

Call = Callable[[], object]


class Side:
    """One server or one cluster, with a database of its own."""

    def __init__(self, stack: ExitStack, **values: Any) -> None:  # noqa: ANN401 - of Settings
        settings = servers.settings_with(**values, redis_timeout_s=5.0)
        migrate(settings)
        self._posts = range(1, POSTS + 1)
        self._turn = 0
        client = stack.enter_context(connect(settings))
        database = Database(settings)
        stack.callback(database.close)
        self._reactions = stack.enter_context(Reactions(settings))
        for user in range(1, USERS + 1):
            self._reactions.react_many((user, post, "like") for post in self._posts)
        Persister(client, database, settings).drain(range(100))

    def calls(self) -> dict[str, Call]:
        """The calls that are measured, by name."""
        for _ in range(3):  # lookups make the ready summaries
            self._reactions.summaries(self._posts, 1)
        return {
            f"summaries({POSTS})": lambda: self._reactions.summaries(self._posts, 1),
            f"react_many({POSTS})": self._react,
            "react()": lambda: self._reactions.react(1, 1 + self._next() % POSTS, "love"),
        }

    def _next(self) -> int:
        self._turn += 1
        return self._turn

    def _react(self) -> None:
        user, name = 1 + self._next() % USERS, ("like", "love")[self._turn // USERS % 2]
        self._reactions.react_many((user, post, name) for post in self._posts)


def run(calls: int, rounds: int, show: Show, sentinel: bool = False) -> dict[str, Any]:
    """Measure each call in turns of both sides."""
    with servers.temporary_folder("cluster") as where, ExitStack() as stack:
        server = stack.enter_context(servers.running_redis(where, "valkey"))
        postgres = [stack.enter_context(servers.running_postgres(where / n)) for n in ("a", "b")]
        other = _watched(stack, where) if sentinel else _nodes(stack, where)
        sides = {
            ONE: Side(stack, redis_url=server.url, database_url=postgres[0].url),
            WATCHED if sentinel else THREE: Side(stack, **other, database_url=postgres[1].url),
        }
        figures: dict[str, Any] = {}
        for name in sides[ONE].calls():
            ways = {side: each.calls()[name] for side, each in sides.items()}
            figures[name] = compare(ways, calls, rounds)
            show("calls", len(figures), 3)
        return figures


def _nodes(stack: ExitStack, where: Path) -> dict[str, Any]:
    nodes = stack.enter_context(running_cluster(where))
    return {"redis_url": nodes[0].url, "redis_cluster": True}


def _watched(stack: ExitStack, where: Path) -> dict[str, Any]:
    watched = Watched(where)
    stack.callback(watched.kill)
    watched.start()
    return {"redis_url": watched.url}


def compare(ways: dict[str, Call], calls: int, rounds: int) -> dict[str, Any]:
    """Times of one call in µs on each side, and the ratios of the sides, round by round.

    ``ratio`` is that of the medians, ``client_ratio`` that of this process's processor time.
    """
    one, other = ways
    times: dict[str, list[float]] = {side: [] for side in ways}
    ratios, clients = [], []
    for number in range(rounds + 1):
        medians, used = {}, {}
        for side, call in list(ways.items())[:: 1 if number % 2 else -1]:
            began = time.process_time()
            turn = [_timed(call) for _ in range(calls)]
            medians[side], used[side] = median(turn), time.process_time() - began
            if number:  # the first round connects
                times[side] += turn
        if number:
            ratios.append(medians[other] / medians[one])
            clients.append(used[other] / used[one])
    sides = {
        side: {
            "p50_us": round(quantile(sorted(found), 0.5), 1),
            "p99_us": round(quantile(sorted(found), 0.99), 1),
        }
        for side, found in times.items()
    }
    return {"sides": sides, "ratio": spread(ratios), "client_ratio": spread(clients)}


def _timed(call: Call) -> float:
    began = time.perf_counter()
    call()
    return (time.perf_counter() - began) * 1e6


def print_tables(figures: dict[str, Any], markdown: bool) -> None:
    (other,) = {side for found in figures.values() for side in found["sides"]} - {ONE}
    output.print_table(
        f"p50 of a call in µs, and {other} to one server, round by round",
        ["call", ONE, other, "ratio", "least-most", "client's processor"],
        [
            [
                name,
                found["sides"][ONE]["p50_us"],
                found["sides"][other]["p50_us"],
                found["ratio"]["median"],
                f"{found['ratio']['min']}-{found['ratio']['max']}",
                found["client_ratio"]["median"],
            ]
            for name, found in figures.items()
        ],
        markdown,
    )


@click.command(context_settings=output.HELP)
@click.option("--calls", type=click.IntRange(1, 10_000), default=50, show_default=True)
@click.option("--rounds", type=click.IntRange(1, 1_000), default=20, show_default=True)
@click.option("--sentinel", is_flag=True, help="A primary with Sentinels, not a cluster.")
@output.as_markdown
@output.as_json
def main(calls: int, rounds: int, sentinel: bool, as_markdown: bool, as_json: bool) -> None:
    """Measure calls on a Redis Cluster of three nodes, or with Sentinels, beside one server."""
    output.quiet_logs()
    with bars(36) as show:
        figures = run(calls, rounds, show, sentinel)
    print_tables(figures, as_markdown)
    output.finish({"machine": machine.summary(), "calls": figures}, as_json)
