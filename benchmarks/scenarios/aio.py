"""The asynchronous client by concurrent callers, beside threads and beside redis-py's own.

``python -m benchmarks aio --markdown``: callers react to a thousand posts, or read feeds of twenty,
one call after the other. One process makes all calls; each way has a turn of its own on the same
server. Nothing drains. redis-py gets the same packed words: its own client has a connection a
caller at most, and its pipeline has all callers' commands in one, by hand.

Processor is that of the calling process, for one call.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import resource
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import click
import redis.asyncio
from redis import Redis

import reactions.aio
from benchmarks.support import machine, output, servers
from reactions.api.client import Reactions
from reactions.api.publisher import Publisher
from reactions.core.settings import Settings
from reactions.core.type_names import DEFAULT_TYPES, parse_types
from reactions.redis.keys import default_keys
from reactions.redis.pipeline import Script
from reactions.redis.scripts import writes

POSTS, FEED, USERS = 1_000, 20, 100_000
CALLERS = (1, 16, 256, 2_000)
MAX_THREADS = 40
"""Threads that share the calls of more callers: each has a connection."""

MAX_CONNECTIONS = 256
"""Of redis-py's own client, which has one for each call that is under way."""

AIO, THREADS, OWN, PIPELINE = (
    "reactions.aio",
    "reactions, threads",
    "redis-py asyncio",
    "redis-py asyncio pipeline",
)

AsyncCall = Callable[[int], Awaitable[object]]


def processor_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def figures(calls: int, began: tuple[float, float]) -> dict[str, float]:
    took, used = time.perf_counter() - began[0], processor_s() - began[1]
    return {"calls_per_s": round(calls / took), "cpu_us": round(used / calls * 1e6, 1)}


def now() -> tuple[float, float]:
    return time.perf_counter(), processor_s()


def words(number: int) -> tuple[Any, ...]:
    """The command of one ``react()``."""
    random_ = random.Random(number)
    code = random_.randint(1, 3)
    call = writes.record(
        default_keys, random_.randint(1, USERS), random_.randint(1, POSTS), code, 10_000_000
    )
    return tuple(call.words)


def feed_of(number: int) -> tuple[int, list[int]]:
    random_ = random.Random(number)
    return random_.randint(1, USERS), random_.sample(range(1, POSTS + 1), FEED)


async def with_tasks(call: AsyncCall, callers: int, calls: int) -> dict[str, float]:
    """Let tasks make calls, each of them one after the other."""
    numbers = iter(range(calls))

    async def caller() -> None:
        for number in numbers:
            await call(number)

    await call(0)
    began = now()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return figures(calls, began)


def with_threads(call: Callable[[int], object], callers: int, calls: int) -> dict[str, float]:
    numbers: Iterator[int] = iter(range(calls))
    barrier = threading.Barrier(callers + 1)

    def caller() -> None:
        call(0)
        barrier.wait()
        for number in numbers:
            call(number)

    threads = [threading.Thread(target=caller) for _ in range(callers)]
    for thread in threads:
        thread.start()
    barrier.wait()
    began = now()
    for thread in threads:
        thread.join()
    return figures(calls, began)


async def by_pipeline(client: Any, callers: int, calls: int) -> dict[str, float]:  # noqa: ANN401 - redis-py's
    """One pipeline has a command of each caller; the next one begins when all have replies."""
    began = now()
    for first in range(0, calls, callers):
        async with client.pipeline(transaction=False) as pipe:
            for number in range(first, min(first + callers, calls)):
                pipe.execute_command(*words(number))
            await pipe.execute()
    return figures(calls, began)


async def on_loop(settings: Settings, callers: int, calls: int) -> list[dict[str, Any]]:
    """The ways that use an event loop."""
    rows: list[dict[str, Any]] = []
    async with reactions.aio.Reactions(settings) as client:
        names = tuple(await client.reaction_types)[:3]

        async def react(number: int) -> object:
            random_ = random.Random(number)
            user, post = random_.randint(1, USERS), random_.randint(1, POSTS)
            return await client.react(user, post, names[random_.randint(0, 2)])

        async def feed(number: int) -> object:
            user, posts = feed_of(number)
            return await client.summaries(posts, user)

        rows.append({"call": "react", "way": AIO, **await with_tasks(react, callers, calls)})
        few = max(callers, calls // 4)
        rows.append({"call": "feed", "way": AIO, **await with_tasks(feed, callers, few)})
    url = settings.redis_url.get_secret_value()
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url, max_connections=min(callers, MAX_CONNECTIONS), timeout=60, socket_connect_timeout=60
    )
    own: Any = redis.asyncio.Redis.from_pool(pool)

    async def bare(number: int) -> object:
        return await own.execute_command(*words(number))

    rows.append({"call": "react", "way": OWN, **await with_tasks(bare, callers, calls)})
    if callers > 1:
        rows.append({"call": "react", "way": PIPELINE, **await by_pipeline(own, callers, calls)})
    await own.aclose()
    return rows


def in_threads(settings: Settings, callers: int, calls: int) -> list[dict[str, Any]]:
    """The synchronous client."""
    with Reactions(settings) as client:
        names, threads = tuple(client.reaction_types)[:3], min(callers, MAX_THREADS)

        def react(number: int) -> object:
            random_ = random.Random(number)
            user, post = random_.randint(1, USERS), random_.randint(1, POSTS)
            return client.react(user, post, names[random_.randint(0, 2)])

        def feed(number: int) -> object:
            user, posts = feed_of(number)
            return client.summaries(posts, user)

        return [
            {"call": "react", "way": THREADS, **with_threads(react, threads, calls)},
            {
                "call": "feed",
                "way": THREADS,
                **with_threads(feed, threads, calls // 4),
            },
        ]


def prepare(settings: Settings, admin: Redis) -> None:
    """Empty the server; then each post has a summary, and every script is known."""
    admin.flushall()
    for script in Script.registered:
        admin.script_load(script.source)
    codes = len(parse_types(DEFAULT_TYPES))
    for post in range(1, POSTS + 1):
        counts = ",".join(f"{code},{post % 7}" for code in range(1, codes + 1))
        admin.set(default_keys.post_summary(post), f"0,{counts}")
    for user in range(1, USERS + 1, 1_000):
        with admin.pipeline(transaction=False) as pipe:
            for each in range(user, min(user + 1_000, USERS + 1)):
                pipe.hset(default_keys.user_reactions(each), "0", "1")
            pipe.execute()
    Publisher(settings)  # it imports Celery, which is not to be measured
    with Reactions(settings) as client:
        client.react(1, 1, "like")


def rounds(settings: Settings, admin: Redis, calls: int, uvloop: bool) -> list[dict[str, Any]]:
    """One row for each number of callers and way."""
    if uvloop:
        import uvloop as loops

        run: Callable[[Any], list[dict[str, Any]]] = loops.run
    else:
        run = asyncio.run
    rows: list[dict[str, Any]] = []
    for callers in CALLERS:
        output.err.print(f"{callers} callers")
        prepare(settings, admin)
        number = calls if callers > 1 else calls // 4
        found = run(on_loop(settings, callers, number))
        prepare(settings, admin)
        found += in_threads(settings, callers, number)
        rows += [{"callers": callers, **row} for row in found]
    return sorted(rows, key=lambda row: (row["call"] != "react", row["callers"]))


@click.command(context_settings=output.HELP)
@click.option("--calls", type=int, default=20_000, show_default=True, help="Calls of each round.")
@click.option("--uvloop/--asyncio", default=True, show_default=True, help="The event loop.")
@output.as_markdown
@output.as_json
def main(calls: int, uvloop: bool, as_markdown: bool, as_json: bool) -> None:
    """Time the asynchronous client beside threads, and beside redis-py's own."""
    output.quiet_logs()
    with (
        servers.temporary_folder("aio") as where,
        servers.running_redis(where, "valkey") as server,
        Redis(port=server.port) as admin,
    ):
        settings = servers.settings_with(
            redis_url=server.url, broker_url="redis://127.0.0.1:1/0", redis_timeout_s=30
        )
        rows = rounds(settings, admin, calls, uvloop)
    for call, group in itertools.groupby(rows, key=lambda row: row["call"]):
        title = "react()" if call == "react" else f"a feed of {FEED} posts"
        cells = [[row["callers"], row["way"], row["calls_per_s"], row["cpu_us"]] for row in group]
        output.print_table(title, ("callers", "way", "calls/s", "CPU µs"), cells, as_markdown)
    output.finish({**machine.summary(), "uvloop": uvloop, "rows": rows}, as_json)
