"""``python -m benchmarks feeds``: one client reads warm feeds, beside PostgreSQL alone.

A feed ends in ``Summary`` values on every side. PostgreSQL alone answers by one prepared query in
one round trip. No worker runs, so everything is warm and stays so, and what is dirty stays dirty.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from pathlib import Path
from typing import Any

import click

from benchmarks.compare.contenders import tables
from benchmarks.scenarios.feeds import measure, report, sides, world
from benchmarks.scenarios.feeds.measure import CASES, Case, Turns
from benchmarks.scenarios.feeds.sides import Side
from benchmarks.scenarios.feeds.world import Plan
from benchmarks.support import cluster, machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.statements import statements
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.postgres.migrate import migrate
from reactions.redis.connection import connect

MAX_WARM_PASSES = 5


class NotWarmError(Exception):
    """Reads still reach PostgreSQL, or two sides give different answers."""


class World:
    """The servers, filled and warm, with one client for each side."""

    def __init__(self, where: Path, plan: Plan, stack: ExitStack, show: Show) -> None:
        self.plan = plan
        enter = stack.enter_context
        self.server = enter(servers.running_redis(where, "valkey"))
        self.nodes = enter(cluster.running_cluster(where)) if plan.cluster else []
        self.postgres = enter(servers.running_postgres(where))
        # The validator adds the driver to the URL.
        self.settings = servers.settings_with(
            redis_url=self.server.url, database_url=self.postgres.url
        )
        migrate(self.settings)
        self.database = Database(self.settings, name="reactions-bench", timeout_s=1_200)
        stack.callback(self.database.close)
        world.fill(self.database, plan, self.settings, show)
        self.users = world.readers(self.database)
        self.clients: list[Reactions] = []
        self.session = tables.Session(self.settings)
        stack.callback(self.session.close)
        self.sides = [*self._ours(stack), sides.postgres(self.session)]
        wide = sides.Wide(self.settings)
        stack.callback(wide.close)
        bare = connect(self.settings)
        stack.callback(bare.close)
        self.further = [wide.side(), sides.ping(bare, self.server.pid)]

    def _ours(self, stack: ExitStack) -> Iterator[Side]:
        found: list[tuple[str, Settings, list[int]]] = [
            (sides.OURS, self.settings, [self.server.pid])
        ]
        if self.nodes:
            own = {"redis_url": self.nodes[0].url, "redis_cluster": True}
            settings = servers.settings_with(database_url=self.postgres.url, **own)
            found.append((sides.CLUSTER, settings, [node.pid for node in self.nodes]))
        for name, settings, pids in found:
            world.load(settings, self.database, self.plan.all_posts, self.users)
            client = Reactions(settings)
            stack.callback(client.close)
            self.clients.append(client)
            yield sides.ours(name, client, pids)

    def make_dirty(self) -> None:
        """React on the dirty posts, on every side alike; nothing drains."""
        types = dict(self.settings.reaction_types)
        for post in self.plan.dirty:
            for number, user in enumerate(self.users[: world.DIRTY_USERS]):
                name = list(types)[(post + number) % len(types)]
                for client in self.clients:
                    client.react(user, post, name)
                self.session.react(user, post, types[name])

    def warm(self, case: Case) -> None:
        """Read until no read reaches PostgreSQL, and compare the answers of all sides.

        Raises:
            NotWarmError: reads go on to reach PostgreSQL, or two answers differ.
        """
        feeds = world.feeds(self.plan, case.posts, case.dirty)
        users = self.users if case.somebody else [0]
        calls = list(zip(cycle(users), feeds, strict=False))
        for client, side in zip(self.clients, self.sides, strict=False):
            for _ in range(MAX_WARM_PASSES):
                with statements(client._reads.reads().database.engine) as sent:
                    for posts in feeds:
                        client.summaries(posts, None)
                    for user, posts in calls:
                        side.reads[case.read](user, posts)
                if not sent:
                    break
            else:
                raise NotWarmError(f"{side.name}, {case.name}: reads go on to reach PostgreSQL")
        for user, posts in calls:
            answers = [side.reads[case.read](user, posts) for side in self.sides]
            if any(answer != answers[0] for answer in answers):
                raise NotWarmError(f"{case.name}: the answers differ: {answers}")


def run(plan: Plan, show: Show) -> dict[str, Any]:
    """Measure all cases; the result maps the name of a case to the figures of each side."""
    found: dict[str, Any] = {}
    with servers.temporary_folder("feeds") as where, ExitStack() as stack:
        made = World(where, plan, stack, show)
        turns = Turns(made.postgres.pid, made.users, plan.seconds, plan.rounds)
        made.make_dirty()
        for case in CASES:
            made.warm(case)
            # The table of the wide contender and PING know nothing of changes.
            whole = case.read == "summaries" and not case.dirty and case.somebody
            taking_part = [*made.sides, *(made.further if whole else ())]
            feeds = world.feeds(plan, case.posts, case.dirty)
            runs = turns.run(case, taking_part, feeds, show)
            found[case.name] = {
                "sides": {name: each.figures() for name, each in runs.items()},
                "to_postgres": measure.ratios(runs, sides.OURS),
            }
            if plan.cluster:
                found[case.name]["cluster_to_postgres"] = measure.ratios(runs, sides.CLUSTER)
    return found


@click.command(context_settings=output.HELP)
@click.option(
    "--seconds",
    type=click.FloatRange(0.01, 60),
    default=0.3,
    show_default=True,
    help="How long each side reads in one turn.",
)
@click.option("--rounds", type=click.IntRange(1, 1_000), default=9, show_default=True)
@click.option("--posts", type=click.IntRange(300, 1_000_000), default=1_000, show_default=True)
@click.option(
    "--rows",
    type=click.IntRange(1, 9_000),
    default=60,
    show_default=True,
    help="Reactions on each post.",
)
@click.option(
    "--feeds",
    type=click.IntRange(1, 10_000),
    default=200,
    show_default=True,
    help="Different feeds in each case.",
)
@click.option(
    "--cluster/--no-cluster", default=True, help="Read from a cluster of three nodes, too. [yes]"
)
@output.as_markdown
@output.as_json
def main(
    seconds: float,
    rounds: int,
    posts: int,
    rows: int,
    feeds: int,
    cluster: bool,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure what one warm feed costs the client, Redis and PostgreSQL."""
    output.quiet_logs()
    plan = Plan(posts, rows, seconds, rounds, feeds, cluster)
    with bars(36) as show:
        found = run(plan, show)
    report.print_tables(found, as_markdown)
    output.finish({"machine": machine.summary(), "cases": found}, as_json)
