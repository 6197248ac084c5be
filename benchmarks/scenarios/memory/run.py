"""All measurements, on each server and with ids of each width."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.scenarios.memory.figures import Each, Regular, Viral
from benchmarks.scenarios.memory.measure import Bench
from benchmarks.scenarios.memory.store import Store
from benchmarks.support import machine, servers
from benchmarks.support.output import Show
from reactions.core.settings import Settings
from reactions.postgres.migrate import migrate

SMALL = 1_000
"""Posts grow in two groups, up to this size and beyond it: so there are many small ones."""

VIRAL = (10_000, 100_000, 1_000_000)

MAX_USER_POSTS = (1, 10, 100, 500)

DELETED = (1_000, 10_000, 100_000)


@dataclass(slots=True)
class Plan:
    """What to measure, and with how many reactions (see ``Bench``)."""

    servers: Sequence[str]
    bits: Sequence[int]
    sizes: Sequence[int]
    viral: Sequence[int]
    budget: int
    step: int


def measure(plan: Plan, show: Show) -> dict[str, Any]:
    """Measure everything; returns the figures of the JSON."""
    regular: list[Regular] = []
    viral: list[Viral] = []
    users: list[Each] = []
    deleted: list[Each] = []
    versions: dict[str, str] = {}
    with servers.temporary_folder("memory") as where, servers.running_postgres(where) as postgres:
        settings = servers.settings_with(database_url=postgres.url)
        migrate(settings)
        _make_fast(settings)
        for server_name in plan.servers:
            # Without the append-only file: its buffers are no part of what is measured.
            with servers.running_redis(where, server_name, {"appendonly": "no"}) as server:
                here = servers.settings_with(database_url=postgres.url, redis_url=server.url)
                store = Store(server_name, here)
                with contextlib.closing(store):
                    bench = Bench(store, plan.budget, plan.step, show)
                    versions[server_name] = machine.redis_version(store.client)
                    for bits in plan.bits:
                        regular += _regular(bench, bits, plan.sizes, show)
                        viral += [
                            bench.viral(bits, reactors)
                            for reactors in plan.viral
                            # A million reactors once a server: with the wider ids, which need more.
                            if reactors <= 100_000 or bits == max(plan.bits)
                        ]
                        users += [bench.user(bits, number) for number in MAX_USER_POSTS]
                        deleted += [bench.deleted(bits, number) for number in DELETED]
    return {
        "machine": machine.summary(),
        "servers": versions,
        "regular": [asdict(each) for each in regular],
        "viral": [asdict(each) for each in viral],
        "users": [asdict(each) for each in users],
        "deleted": [asdict(each) for each in deleted],
    }


def _regular(bench: Bench, bits: int, sizes: Sequence[int], show: Show) -> list[Regular]:
    phase = f"{bench.name}, {bits} bits: regular"
    total = 3 * len(sizes)
    found: list[Regular] = []
    for size in sizes:
        found += [bench.loaded(bits, size), bench.plain(bits, size)]
        show(phase, len(found), total)
    small = [size for size in sizes if size <= SMALL]
    large = [size for size in sizes if size > SMALL]
    for group in (small, large):
        for each in bench.grown(bits, group) if group else ():
            found.append(each)
            show(phase, len(found), total)
    return found


def _make_fast(settings: Settings) -> None:
    """Let PostgreSQL not wait for the disk: this benchmark measures Redis."""
    engine = create_engine(settings.database_url.get_secret_value(), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text("ALTER SYSTEM SET fsync = off"))
        connection.execute(text("ALTER SYSTEM SET synchronous_commit = off"))
        connection.execute(text("ALTER SYSTEM SET max_wal_size = '4GB'"))
        connection.execute(text("SELECT pg_reload_conf()"))
    engine.dispose()
