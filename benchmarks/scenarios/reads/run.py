"""The run: fill the stores, then read with a warm and with an empty cache of users."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from redis import Redis
from sqlalchemy import create_engine, make_url, text

from benchmarks.scenarios.reads.figures import figures_of
from benchmarks.scenarios.reads.web import FEED, work
from benchmarks.scenarios.reads.world import Plan, World
from benchmarks.support import feed, machine, output, servers
from benchmarks.support.output import Show
from benchmarks.support.post_keys import delete_matching
from benchmarks.support.processes import shared_counters, web_processes
from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.stack import Stack
from reactions.drain.cache_loader import CacheLoader
from reactions.postgres.database import Database
from reactions.postgres.queries import Queries
from reactions.redis.cache_install import CacheInstall
from reactions.redis.connection import connect
from reactions.redis.outbox_state import OutboxState

ROLE = "bench_api"
"""PostgreSQL's user of the web processes; the server logs its statements."""

FEED_VIRAL = 5
"""Viral posts in the timed feed."""


def run(world: World, plan: Plan, workers: int, show: Show) -> dict[str, Any]:
    """Run both scenarios and time the feed; returns the figures of the JSON."""
    with (
        servers.temporary_folder("reads") as where,
        Stack(
            where,
            servers.settings_with(),
            concurrency=workers,
            flower=False,
            say=output.err.print,
        ) as stack,
    ):
        client = Redis.from_url(stack.settings.redis_url.get_secret_value(), socket_timeout=60)
        _fill(stack, world, show)
        api = _api_settings(stack.settings)
        figures: dict[str, Any] = {
            "machine": machine.summary(),
            "server": machine.redis_version(client),
            "reactors": world.reactors,
            "calls": plan.calls,
            "writes": plan.writes,
            "readers": min(world.readers, world.reactors) + min(world.readers, world.strangers),
            "arrivals": world.trace.name if world.trace else "synthetic",
            "scenarios": {},
        }
        for scenario in ("known", "forgotten"):
            if scenario == "forgotten":
                delete_matching(client, "user:*")
            figures["scenarios"][scenario] = _scenario(stack, api, world, plan, scenario, show)
        posts = [*world.viral[:FEED_VIRAL], *world.regular[: FEED - FEED_VIRAL]]
        user = world.user(world.reactors // 2)
        figures["feed"] = feed.measure(stack.settings, posts, user, client, show)
    return figures


def _fill(stack: Stack, world: World, show: Show) -> None:
    """React, let the workers drain, and load the caches."""
    chance = random.Random(1)
    types = tuple(stack.settings.reaction_types)
    outbox = OutboxState(connect(stack.settings), stack.settings)
    sizes = dict.fromkeys(world.viral, world.viral_size) | {world.viral[0]: world.reactors}
    sizes |= {post: 20 + 380 * rank % 381 for rank, post in enumerate(world.regular, 1)}
    total, done = sum(sizes.values()), 0
    with Reactions(stack.settings) as client:
        for post, size in sizes.items():
            first = 1 if size == world.reactors else 1 + chance.randrange(world.reactors - size)
            for start in range(first, first + size, 1_000):
                client.react_many(
                    (world.user(number), post, chance.choice(types))
                    for number in range(start, min(start + 1_000, first + size))
                )
                done += min(1_000, first + size - start)
                show("filling", done, total)
                while outbox.pending() > 20_000:
                    time.sleep(0.05)
        while outbox.pending():
            stack.supervise()
            time.sleep(0.05)
    database = Database(stack.settings, name="reactions-bench", timeout_s=60)
    loader = CacheLoader(
        CacheInstall(outbox._client, stack.settings), Queries(database), stack.settings
    )
    for post in (*world.viral, *world.regular):  # as reads would request it sooner or later
        loader.load([post])
    database.close()


def _api_settings(settings: Settings) -> Settings:
    """Settings with a PostgreSQL user of its own, whose statements the server logs."""
    url = settings.database_url.get_secret_value()
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE ROLE {ROLE} LOGIN SUPERUSER"))
        connection.execute(text(f"ALTER ROLE {ROLE} SET log_statement = 'all'"))
        connection.execute(text("ALTER SYSTEM SET log_line_prefix = '%u|'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
    own = make_url(url).set(username=ROLE).render_as_string(hide_password=False)
    return settings.model_copy(update={"database_url": SecretStr(own)})


def _logged(log: Path, offset: int) -> dict[str, int]:
    """Statements of the web processes after this offset of the log, by their first word."""
    with log.open("rb") as file:
        file.seek(offset)
        line = rb"(?m)^%s\|LOG:  statement: (?:SET LOCAL [^;]*; )*\s*(\w+|;)?" % ROLE.encode()
        found = re.findall(line, file.read())
    return {word.decode() or "other": number for word, number in Counter(found).most_common()}


def _scenario(
    stack: Stack, api: Settings, world: World, plan: Plan, scenario: str, show: Show
) -> dict[str, Any]:
    counters = shared_counters(plan.processes)
    calls = [(world, plan, number, counters) for number in range(plan.processes)]
    with web_processes(work, api.environment(), calls) as web:
        offset, began = stack.postgres.log.stat().st_size, time.monotonic()
        while not web.finished():
            show(f"reading, {scenario}", sum(counters), plan.calls)
            stack.supervise()
            time.sleep(0.2)
        seconds = time.monotonic() - began
    return figures_of(web.results, seconds) | {"logged": _logged(stack.postgres.log, offset)}
