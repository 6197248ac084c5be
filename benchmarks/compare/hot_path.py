"""``react()`` beside the bare script, and the cost of the script on posts of any size."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import count, islice
from statistics import median
from typing import Any

from benchmarks.compare.contenders.bare import Bare
from benchmarks.compare.contenders.base import Client
from benchmarks.compare.contenders.ours import Ours
from benchmarks.compare.mix import TYPES
from benchmarks.compare.play import play
from benchmarks.compare.workloads import BESIDE_POST, HOT_POST, Workload
from benchmarks.support import filling
from benchmarks.support.arena import Arena
from benchmarks.support.output import Show
from benchmarks.support.statistics import quantiles, spread
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import connect

BLOCK, BLOCKS = 250, 80
"""Calls in each turn, and the number of turns."""

SMALL, LARGE = 4_142, 4_242
SMALL_ROWS = 1_000
COST_BLOCK, COST_BLOCKS = 50, 50


def quiet(arena: Arena, show: Show) -> dict[str, Any]:
    """One thread calls both in turns, with no other work on the machine. Times are in µs."""
    arena.empty()
    ours, bare = Ours().connect(arena.settings), Bare().connect(arena.settings)
    users = count(1)
    sides: list[tuple[Client, int]] = [(ours, HOT_POST), (bare, BESIDE_POST)]
    took: list[list[float]] = [[], []]
    whole: list[list[float]] = [[], []]
    for number in range(2 * BLOCKS):
        for side in (0, 1) if number % 4 in (0, 3) else (1, 0):
            client, post = sides[side]
            if number % 2:
                took[side] += _each(client, post, users)
            else:
                whole[side].append(_block(client, post, users))
        show("react() and the bare script", number + 1, 2 * BLOCKS)
    for client, _ in sides:
        client.close()
    return {
        "react_us": quantiles(took[0]),
        "bare_us": quantiles(took[1]),
        "p50_ratio": round(median(took[0]) / median(took[1]), 3),
        "throughput_ratio": spread([b / a for a, b in zip(*whole, strict=True)]),
        "react_per_s": round(BLOCK * 1e6 / median(whole[0])),
        "bare_per_s": round(BLOCK * 1e6 / median(whole[1])),
    }


def _block(client: Client, post: int, users: Iterator[int]) -> float:
    """Duration of a block of calls at full speed, in µs."""
    began = time.perf_counter()
    for user in islice(users, BLOCK):
        client.react(user, post, 1 + user % TYPES)
    return (time.perf_counter() - began) * 1e6


def _each(client: Client, post: int, users: Iterator[int]) -> list[float]:
    """Duration of each call of a block, in µs."""
    took: list[float] = []
    for user in islice(users, BLOCK):
        began = time.perf_counter()
        client.react(user, post, 1 + user % TYPES)
        took.append((time.perf_counter() - began) * 1e6)
    return took


# -- under load ------------------------------------------------------------------------------------


class Beside(Ours):
    """Every other operation is the bare script, on a post of the same shard; both are drained."""

    name = "beside"

    def connect(self, settings: Settings) -> Client:
        return _Beside(settings)


class _Beside:
    def __init__(self, settings: Settings) -> None:
        self._ours, self._bare = Ours().connect(settings), Bare().connect(settings)

    def react(self, user: int, post: int, code: int) -> object:
        return self._ours.react(user, post, code)

    def feed(self, user: int, posts: Sequence[int]) -> object:
        return self._bare.react(user, posts[0], 1 + user % TYPES)

    def close(self) -> None:
        self._ours.close()
        self._bare.close()


def loaded(arena: Arena, seconds: float, writers: int) -> dict[str, Any]:
    """The same comparison under full load, by all writers. Times are in µs."""
    found = play(arena, Beside(), Workload("beside"), seed=0, seconds=seconds, writers=writers)
    return {
        "react_p50_us": found.react_p50,
        "bare_p50_us": found.feed_p50,
        "p50_ratio": round(found.react_p50 / found.feed_p50, 3),
    }


# -- on the server ---------------------------------------------------------------------------------


def server_side(arena: Arena, rows: int, show: Show) -> dict[str, Any]:
    """The time of one call by the server's own count (µs), on a large post and on a small one.

    There are three kinds of calls: a change by a cached user, a first reaction, and its removal. So
    neither post grows.
    """
    arena.empty()
    shape = filling.Shape(rows, arena.settings.viral_threshold, 0, 1_000)
    filling.fill(arena.database, {LARGE: rows, SMALL: SMALL_ROWS}, shape, show)
    client = connect(arena.settings)
    queries = Queries(arena.database)
    CacheLoader(CacheInstall(client, arena.settings), queries, arena.settings).load([LARGE, SMALL])
    codes = list(arena.settings.reaction_types.values())
    # Spread over all cached users: the sample is a list with the newest users at its head.
    known = {
        post: queries.newest(post, codes, limit=900)[:: 900 // COST_BLOCK]
        for post in (LARGE, SMALL)
    }
    bare = Bare().connect(arena.settings)
    took: dict[str, dict[int, list[float]]] = {
        kind: {LARGE: [], SMALL: []} for kind in ("replaced", "created", "removed")
    }
    for number in range(COST_BLOCKS):
        for post in (LARGE, SMALL) if number % 2 else (SMALL, LARGE):
            fresh = [1 + number * COST_BLOCK + place for place in range(COST_BLOCK)]
            code = 1 + number % TYPES
            calls = {
                "replaced": [(row.user_id, code) for row in known[post]],
                "created": [(user, code) for user in fresh],
                "removed": [(user, 0) for user in fresh],
            }
            for kind, each in calls.items():
                took[kind][post].append(_cost(arena, bare, post, each))
        show("the script on the server", number + 1, COST_BLOCKS)
    bare.close()
    return {"rows": rows, **_costs(took)}


def _cost(arena: Arena, bare: Client, post: int, calls: Sequence[tuple[int, int]]) -> float:
    arena.redis.config_resetstat()
    for user, code in calls:
        bare.react(user, post, code)
    found: Any = arena.redis.info("commandstats")
    return float(found["cmdstat_evalsha"]["usec"]) / int(found["cmdstat_evalsha"]["calls"])


def _costs(took: dict[str, dict[int, list[float]]]) -> dict[str, Any]:
    sums = {
        post: [sum(each) for each in zip(*(of[post] for of in took.values()), strict=True)]
        for post in (LARGE, SMALL)
    }
    return {
        "us": {
            kind: {"large": round(median(of[LARGE]), 2), "small": round(median(of[SMALL]), 2)}
            for kind, of in took.items()
        },
        "ratio": spread([a / b for a, b in zip(sums[LARGE], sums[SMALL], strict=True)]),
    }
