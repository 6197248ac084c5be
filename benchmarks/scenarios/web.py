"""The HTTP service beside the library's own calls: requests a second, times, and CPU time.

``python -m benchmarks web --markdown``: on one stack, the same number of writers make the same
calls, in turns: with ``Reactions`` in processes of their own, and over HTTP to ``reactions web``.
The load comes from the same machine.

CPU time is the time of one call in the calling process, or of one request in the service.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from http.client import HTTPConnection
from typing import Any, NamedTuple

import click
import httpx
import psutil

from benchmarks.support import machine, output, processes, servers
from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.demo.process import Process, free_port
from reactions.demo.replay import quantile
from reactions.demo.stack import Stack
from reactions.web.demo_auth import HEADER

POSTS = 1_000
FEED = 20
KINDS = ("like", "love", "wow")


class Run(NamedTuple):
    """How long to warm up and to measure, in s; and how many users call."""

    warm_s: float
    seconds: float
    users: int


Call = Callable[[int, random.Random], object]
"""One call by this user, with random arguments from this generator."""


def by_library(settings: Settings, what: str) -> Call:
    client = Reactions(settings)
    if what == "react":
        return lambda user, seed: client.react(user, seed.randint(1, POSTS), seed.choice(KINDS))
    return lambda user, seed: client.summaries(seed.sample(range(1, POSTS + 1), FEED), user)


def over_http(port: int, what: str) -> Call:
    """Calls with the standard library's client: it needs a fraction of httpx's time."""
    connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def send(user: int, method: str, path: str, body: str | None = None) -> bytes:
        headers = {HEADER: str(user), "Content-Type": "application/json"}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content!r}")
        return content

    def react(user: int, seed: random.Random) -> object:
        body = json.dumps({"reaction": seed.choice(KINDS)})
        return send(user, "PUT", f"/v1/posts/{seed.randint(1, POSTS)}/reaction", body)

    def feed(user: int, seed: random.Random) -> object:
        posts = seed.sample(range(1, POSTS + 1), FEED)
        return send(user, "GET", f"/v1/summaries?{'&'.join(f'post_id={p}' for p in posts)}")

    return react if what == "react" else feed


def write(number: int, call: Call, run: Run, barrier: Any, results: Any) -> None:  # noqa: ANN401
    """One writer, in a process of its own: it makes one call after the other."""
    seed, seconds = random.Random(number), run.seconds
    try:
        end = time.perf_counter() + run.warm_s
        while time.perf_counter() < end:
            call(seed.randint(1, run.users), seed)
        barrier.wait(300)
        began = time.perf_counter()
        times, cpu = [], time.process_time()
        now = began
        while now < began + seconds:
            call(seed.randint(1, run.users), seed)
            times.append(-now + (now := time.perf_counter()))
        results.put((times, now - began, time.process_time() - cpu))
    except BaseException as error:
        results.put(error)
        barrier.abort()
        raise


def measure(
    make: Callable[[], Call], writers: int, run: Run, cpu_of: Callable[[], float] | None
) -> dict[str, float]:
    """Figures of all writers together.

    Args:
        cpu_of: reads the CPU time of the service; without it, the writers' CPU time counts.
    """
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(writers + 1), context.Queue()
    made = [
        context.Process(target=lambda n=n: write(n, make(), run, barrier, results))
        for n in range(writers)
    ]
    for process in made:
        process.start()
    processes.meet(barrier, results)
    before = cpu_of() if cpu_of else 0.0
    found = [results.get() for _ in made]
    for process in made:
        process.join()
    cpu = cpu_of() - before if cpu_of else sum(used for *_, used in found)
    times = sorted(one for times, *_ in found for one in times)
    return {
        "requests_per_s": round(sum(len(times) / took for times, took, _ in found), 1),
        "cpu_ms": round(cpu / len(times) * 1e3, 3),
        "p50_ms": round(quantile(times, 0.5) * 1e3, 3),
        "p99_ms": round(quantile(times, 0.99) * 1e3, 3),
    }


def cpu_s(service: Process) -> float:
    """CPU time of all processes of the service until now, in s."""
    root = psutil.Process(service.pid)
    times = [one.cpu_times() for one in [root, *root.children(recursive=True)]]
    return sum(one.user + one.system for one in times)


def start_service(stack: Stack, workers: int) -> tuple[Process, int]:
    port = free_port()
    service = Process("web", stack.folder / "web.log")
    own = stack.settings.model_copy(
        update={
            "web_authenticator": "reactions.web.demo_auth:chosen_user",
            "web_writes_per_s": 1e6,
            "web_burst": 10_000,
        }
    )
    service.launch(
        [sys.executable, "-m", "reactions", "web", f"--port={port}", f"--workers={workers}"],
        env={**os.environ, **own.environment()},
    )
    while True:
        service.check()
        try:
            httpx.get(f"http://127.0.0.1:{port}/readyz").raise_for_status()
        except httpx.HTTPError:
            time.sleep(0.1)
        else:
            return service, port


def rounds(stack: Stack, workers: int, clients: Sequence[int], run: Run) -> list[dict[str, Any]]:
    """One row for each call, way, and number of writers."""
    with Reactions(stack.settings) as client:
        client.react_many([(1, post, "like") for post in range(1, POSTS + 1)])
    service, port = start_service(stack, workers)
    rows: list[dict[str, Any]] = []
    try:
        for what in ("react", "feed"):
            for writers in clients:
                ways: dict[str, Callable[[], Call]] = {
                    "library": lambda what=what: by_library(stack.settings, what),  # type: ignore[misc]
                    "http": lambda what=what: over_http(port, what),  # type: ignore[misc]
                }
                for way, make in ways.items():
                    output.err.print(f"{what}, {way}, {writers} writers")
                    cpu_of = partial(cpu_s, service) if way == "http" else None
                    found = measure(make, writers, run, cpu_of)
                    rows.append({"call": what, "way": way, "writers": writers, **found})
    finally:
        service.stop()
    return rows


@click.command(context_settings=output.HELP)
@click.option(
    "--seconds", type=float, default=10.0, show_default=True, help="Duration of each round."
)
@click.option("--warm", type=float, default=1.0, show_default=True, help="Seconds before it.")
@click.option(
    "--users",
    type=int,
    default=100_000,
    show_default=True,
    help="Users. With few, Redis knows the reactions of each; with many, PostgreSQL is asked.",
)
@click.option("--workers", type=int, default=2, show_default=True, help="Processes of the service.")
@click.option("--writers", type=int, multiple=True, default=(1, 8), show_default=True)
@output.as_markdown
@output.as_json
def main(
    *,
    seconds: float,
    warm: float,
    users: int,
    workers: int,
    writers: tuple[int, ...],
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Time the HTTP service beside the library's own calls."""
    output.quiet_logs()
    with (
        servers.temporary_folder("web") as where,
        Stack(where, flower=False, say=output.err.print) as stack,
    ):
        rows = rounds(stack, workers, writers, Run(warm, seconds, users))
    title = f"{workers} processes of the service; a feed has {FEED} posts"
    header = ("call", "way", "writers", "requests/s", "CPU ms", "p50 ms", "p99 ms")
    output.print_table(title, header, [list(row.values()) for row in rows], as_markdown)
    output.finish({**machine.summary(), "workers": workers, "rows": rows}, as_json)
