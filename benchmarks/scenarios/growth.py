"""What grows with the reactions on one post, and with the rows of the table, and what does not.

``python -m benchmarks growth --most 10000000 --table 50000000 --plots docs/benchmarks``
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.compare import persister
from benchmarks.compare.contenders.ours import Ours
from benchmarks.compare.mix import TYPES
from benchmarks.compare.workloads import FIRST_POST
from benchmarks.scenarios import growth_plots as plots
from benchmarks.support import filling, machine, output
from benchmarks.support.arena import Arena, arena
from benchmarks.support.output import Show
from benchmarks.support.post_keys import memory_of_post
from benchmarks.support.statistics import quantiles, timed
from reactions.cli.console import bars
from reactions.core.constants import shard_of
from reactions.drain.cache_loader import CacheLoader
from reactions.maintenance.checker import PostChecker
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import connect

ROUNDS, CALLS = 20, 100
"""Turns of each post, and reactions in each turn."""

FIRST_FILLED, EACH_POST, USERS = 1_000_000, 2_000, 1_000_000


# -- one post --------------------------------------------------------------------------------------


def posts(arena: Arena, most: int, show: Show) -> list[dict[str, Any]]:
    """Measure posts of 1,000 reactions, 10,000, and so on, in turns. Times are in ms."""
    arena.empty()
    sizes = [10**power for power in range(3, len(str(most)))]
    numbers = {FIRST_POST + place: size for place, size in enumerate(sizes)}
    shape = filling.Shape(most, arena.settings.viral_threshold, 3_600, 100)
    filling.fill(arena.database, numbers, shape, show)
    took: dict[int, dict[str, list[float]]] = {
        post: {"react": [], "settle": [], "reconcile": [], "rebuild": []} for post in numbers
    }
    turn = _turn(arena)
    for number in range(ROUNDS):
        for post in numbers:
            turn(post, 1 + number % TYPES, took[post])
        show("posts of every size", number + 1, ROUNDS)
    return [
        {
            "reactions": size,
            "memory": memory_of_post(arena.redis, post),
            **{what: quantiles(times) for what, times in took[post].items()},
        }
        for post, size in numbers.items()
    ]


def _turn(arena: Arena) -> Callable[[int, int, Mapping[str, list[float]]], None]:
    """A function that loads an uncached post, reacts on it, drains, and compares the stores."""
    settings, client = arena.settings, connect(arena.settings)
    cache, worker = CacheInstall(client, settings), persister.make(arena)
    loader = CacheLoader(cache, Queries(arena.database), settings)
    reconciler = PostChecker(client, arena.database, settings)
    web = Ours().connect(settings)

    def turn(post: int, code: int, took: Mapping[str, list[float]]) -> None:
        cache.drop(post)
        ms, loaded = timed(lambda: loader.load([post]))
        if loaded != 1:
            raise RuntimeError(f"post {post} was not loaded")
        took["rebuild"].append(ms)
        for user in range(1, CALLS + 1):  # the same users, so the post does not grow
            took["react"].append(timed(partial(web.react, user, post, code))[0])
        took["settle"].append(timed(lambda: worker.drain([shard_of(post)]))[0])
        took["reconcile"].append(timed(lambda: reconciler.check([post]))[0])

    return turn


# -- the table -------------------------------------------------------------------------------------


def table(arena: Arena, most: int, steps: int, batch: int, show: Show) -> list[dict[str, Any]]:
    """Measure the persister while the table grows; SQL inserts the rows in between."""
    arena.empty()
    worker = persister.make(arena)
    shape = filling.Shape(USERS, arena.settings.viral_threshold, 3_600, 1_000)
    found: list[dict[str, Any]] = []
    filled = 0
    for step in range(steps + 1):
        wanted = most * step // steps // EACH_POST
        new = range(FIRST_FILLED + filled, FIRST_FILLED + wanted)
        if new:
            filling.fill(arena.database, dict.fromkeys(new, EACH_POST), shape, show)
        filled = wanted
        changes = _spread(persister.changes_of("zipf", step, batch), filled)
        seconds = persister.drain(arena, worker, changes)
        rows = filled * EACH_POST
        found.append({"rows": rows, "rows_per_s": round(len(changes) / seconds)})
        show("the table grows", step + 1, steps + 1)
    return found


def _spread(changes: Mapping[tuple[int, int], int], posts: int) -> Mapping[tuple[int, int], int]:
    """Move the changes to posts that are filled."""
    if not posts:
        return changes
    return {
        (FIRST_FILLED + (post * 7_919) % posts, user): code
        for (post, user), code in changes.items()
    }


# -- for people ------------------------------------------------------------------------------------


def print_tables(
    sizes: Sequence[Mapping[str, Any]], rows: Sequence[Mapping[str, Any]], markdown: bool
) -> None:
    output.print_table(
        "One post, by its reactions: p50 in ms",
        ["reactions", *plots.PARTS, "bytes in Redis"],
        [[f"{s['reactions']:,}", *(s[p]["p50"] for p in plots.PARTS), s["memory"]] for s in sizes],
        markdown,
    )
    output.print_table(
        "The persister, by the rows of the table",
        ["rows", "rows/s"],
        [[f"{each['rows']:,}", each["rows_per_s"]] for each in rows],
        markdown,
    )


@click.command(context_settings=output.HELP)
@click.option(
    "--most",
    type=click.IntRange(1_000, 100_000_000),
    default=100_000,
    show_default=True,
    help="Reactions on the largest post; the goal is for 10,000,000.",
)
@click.option(
    "--table",
    "most_rows",
    type=click.IntRange(10_000, 200_000_000),
    default=200_000,
    show_default=True,
    help="Rows of the table in the end; the goal is for 50,000,000.",
)
@click.option("--steps", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--batch", type=click.IntRange(1_000, 1_000_000), default=20_000, show_default=True)
@click.option("--plots", "target", type=click.Path(file_okay=False, path_type=Path))
@output.as_markdown
@output.as_json
def main(
    most: int,
    most_rows: int,
    steps: int,
    batch: int,
    target: Path | None,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure costs that must not grow with a post or with the table."""
    output.quiet_logs()
    with bars(36) as show, arena(1) as servers:
        found: dict[str, Any] = {"machine": machine.describe(servers)}
        found["posts"] = posts(servers, most, show)
        found["table"] = table(servers, most_rows, steps, batch, show)
    print_tables(found["posts"], found["table"], as_markdown)
    if target is not None:
        plots.draw(found["posts"], found["table"], target)
    output.finish(found, as_json)
