"""What Redis itself may lose of what ``react()`` returned from, and what it costs to lose less.

``python -m benchmarks durability`` compares ``appendfsync everysec``, ``always``, and ``everysec``
with a replica that acknowledges (``react(…, replicas=1)``): what a call takes, in repetitions that
take turns; how long after it what it wrote is on the disk; what is missing after
``kill -9`` of the server under load and a restart from its file; and what is missing on a replica
that is promoted after the primary died together with its disk. The replica is behind a link with a
delay, whose contents die with the primary, as they do with a machine.

Times are in ms.
"""

from __future__ import annotations

import logging
import multiprocessing
import random
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from statistics import median
from typing import Any

import click
from redis import Redis

from benchmarks.support import common
from benchmarks.support.common import Show, quantiles
from reactions.api.client import Reactions
from reactions.cli.console import bars
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from reactions.demo.process import free_port
from reactions.demo.replay import quantile
from reactions.redis import keys
from reactions.redis.server_options import VALKEY_OPTIONS

POSTS = 100
MODES = ("everysec", "always", "replicas=1")
READY_S = 20.0
SAMPLES = 100_000

LOOK_S = 0.0005
"""How often it is looked for an fsync."""

APART_S = 0.1
"""What happens closer together is one fsync."""


def settings_of(server: Valkey) -> Settings:
    return common.settings_with(redis_url=server.url, redis_timeout_s=5.0)


@contextmanager
def server_with(where: Path, name: str, fsync: str = "everysec") -> Iterator[Valkey]:
    options = {**VALKEY_OPTIONS, "appendfsync": fsync, "repl-diskless-sync-delay": "0"}
    server = Valkey(where, name, options=options)
    server.start()
    try:
        yield server
    finally:
        server.kill()


# -- a replica behind a link -----------------------------------------------------------------------


def _carry(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    """Bytes from one end to the other, each as much later."""
    late: SimpleQueue[tuple[float, bytes]] = SimpleQueue()

    def deliver() -> None:
        while True:
            due, data = late.get()
            time.sleep(max(0.0, due - time.monotonic()))
            target.sendall(data)

    threading.Thread(target=deliver, daemon=True).start()
    while data := source.recv(65_536):
        late.put((time.monotonic() + delay_s, data))


def _link(port: int, target: int, delay_s: float) -> None:
    """A process that is the network between two servers."""
    with socket.create_server(("127.0.0.1", port)) as door:
        while True:
            near, _ = door.accept()
            far = socket.create_connection(("127.0.0.1", target))
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_carry, args=(*ends, delay_s), daemon=True).start()


@contextmanager
def followed(where: Path, primary: Valkey, delay_s: float) -> Iterator[tuple[Valkey, Any]]:
    """A replica in step, and the process of its link."""
    port = free_port()
    link = multiprocessing.get_context("spawn").Process(
        target=_link, args=(port, primary.port, delay_s), daemon=True
    )
    link.start()
    with server_with(where, f"{primary.name}-replica") as replica:
        try:
            with Redis(port=replica.port) as client:
                client.replicaof("127.0.0.1", str(port))
                _until(lambda: _in_step(client))
            yield replica, link
        finally:
            link.kill()


def _in_step(client: Redis) -> bool:
    info: Any = client.info("replication")
    return bool(info.get("master_link_status") == "up")


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + READY_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("a server is not ready")
        time.sleep(0.01)


# -- load ------------------------------------------------------------------------------------------


def _writer(url: str, number: int, writers: int, replicas: int, acknowledged: Any, go: Any) -> None:  # noqa: ANN401
    """Each user reacts once, in their order, until the server is gone."""
    logging.getLogger("reactions").setLevel(logging.ERROR)  # no broker, on purpose
    settings = common.settings_with(redis_url=url, redis_timeout_s=5.0)
    with Reactions(settings) as client:
        user = number
        go.wait(60)
        while True:
            try:
                client.react(user + 1, user % POSTS + 1, "like", replicas=replicas)
            except ReactionsUnavailable:
                return
            acknowledged[number] += 1
            user += writers


@contextmanager
def load(server: Valkey, writers: int, replicas: int) -> Iterator[Any]:
    """Web processes that react until the server dies; yields how often each was acknowledged."""
    context = multiprocessing.get_context("spawn")
    acknowledged, go = context.RawArray("Q", writers), context.Event()
    processes = [
        context.Process(
            target=_writer, args=(server.url, n, writers, replicas, acknowledged, go), daemon=True
        )
        for n in range(writers)
    ]
    for process in processes:
        process.start()
    go.set()
    try:
        _until(lambda: min(acknowledged) > 20)
        yield acknowledged
        for process in processes:
            process.join(READY_S)
    finally:
        for process in processes:
            process.kill()


def missing(server: Valkey, acknowledged: Any) -> int:  # noqa: ANN401 - an array of processes
    """Acknowledged reactions that are not pending; nothing drains."""
    with Redis(port=server.port) as client, client.pipeline(transaction=False) as pipe:
        for post in range(1, POSTS + 1):
            pipe.hkeys(keys.post_pending(post))
        held = {int(user) for users in pipe.execute() for user in users}
    writers = len(acknowledged)
    return sum(
        number + at * writers + 1 not in held
        for number in range(writers)
        for at in range(acknowledged[number])
    )


# -- what is measured ------------------------------------------------------------------------------


def costs(where: Path, calls: int, rounds: int, delay_s: float, show: Show) -> dict[str, Any]:
    """react() by one caller, the modes taking turns; ratios are of the medians of rounds."""
    took: dict[str, list[list[float]]] = {mode: [] for mode in MODES}
    with (
        server_with(where, "everysec") as everysec,
        server_with(where, "always", "always") as always,
        server_with(where, "replicated") as replicated,
        followed(where, replicated, delay_s),
    ):
        servers = dict(zip(MODES, (everysec, always, replicated), strict=True))
        clients = {mode: Reactions(settings_of(server)) for mode, server in servers.items()}
        for turn in range(rounds + 1):  # the first warms up
            for mode, client in clients.items():
                found = _calls(client, calls, turn, int(mode == MODES[2]))
                if turn:
                    took[mode].append(found)
                show("cost of a call", turn, rounds)
        for client in clients.values():
            client.close()
    middle = {mode: [quantile(each, 0.5) for each in took[mode]] for mode in MODES}
    return {
        mode: {
            **quantiles(ms for each in took[mode] for ms in each),
            "per_s": round(1000 * rounds * calls / sum(map(sum, took[mode]))),
            "p50_over_everysec": round(
                median(a / b for a, b in zip(middle[mode], middle["everysec"], strict=True)), 2
            ),
        }
        for mode in MODES
    }


def _calls(client: Reactions, calls: int, turn: int, replicas: int) -> list[float]:
    found = []
    for user in range(turn * calls + 1, (turn + 1) * calls + 1):
        began = time.perf_counter()
        client.react(user, user % POSTS + 1, "like", replicas=replicas)
        found.append((time.perf_counter() - began) * 1e3)
    return sorted(found)


def windows(where: Path, seconds: float, writers: int, show: Show) -> dict[str, Any]:
    """From an acknowledgement until it is on the disk, under load.

    With ``always`` the reply itself waits for the disk, so there is no such time.
    """
    with server_with(where, "window") as server, load(server, writers, 0) as acknowledged:
        began, before = time.monotonic(), sum(acknowledged)
        fsyncs = _fsyncs(server.pid, seconds, lambda at: show("window", int(at), int(seconds)))
        rate = (sum(acknowledged) - before) / (time.monotonic() - began)
        server.kill()
    first, last = fsyncs[0][0], fsyncs[-1][0]
    took = []
    for _ in range(SAMPLES):  # every moment is as likely
        at = random.uniform(first, last)
        took.append(1e3 * next(end - at for start, end in fsyncs if start >= at))
    until = quantiles(took)
    figures = {
        **until,
        "fsyncs": len(fsyncs),
        "react_per_s": round(rate),
        **{f"at_risk_{name}": round(rate * until[name] / 1e3) for name in ("p50", "p99", "max")},
    }
    return {"everysec": figures}


def _fsyncs(pid: int, seconds: float, show: Callable[[float], None]) -> list[tuple[float, float]]:
    """When each fsync of the append-only file began and ended, s of the monotonic clock.

    Seen by the switches of the thread that does nothing else: WAITAOF answers too early with
    everysec, from Redis 7.4 on (redis/redis#13793) and in Valkey 9.1.2.
    """
    status = next(
        task / "status"
        for task in Path(f"/proc/{pid}/task").iterdir()
        if (task / "comm").read_text().startswith("bio_aof")
    )
    found: list[tuple[float, float]] = []
    began, last = time.monotonic(), ""
    while (now := time.monotonic()) < began + seconds:
        switches = status.read_text().rpartition("\nvoluntary_ctxt_switches:")[2]
        if last and switches != last:
            if found and now - found[-1][1] < APART_S:
                found[-1] = (found[-1][0], now)
            else:
                found.append((now, now))
            show(now - began)
        last = switches
        time.sleep(LOOK_S)
    return found


def kills(where: Path, times: int, writers: int, show: Show) -> dict[str, Any]:
    """kill -9 under load, then a restart from the append-only file."""
    found = {}
    for fsync in ("everysec", "always"):
        lost, total = [], 0
        for turn in range(times):
            with server_with(where, f"kill-{fsync}-{turn}", fsync) as server:
                with load(server, writers, 0) as acknowledged:
                    time.sleep(random.uniform(0.1, 1.5))
                    server.kill()
                server.start()
                lost.append(missing(server, acknowledged))
                total += sum(acknowledged)
            shutil.rmtree(where / server.name)
            show(f"kill -9, {fsync}", turn + 1, times)
        found[fsync] = {"kills": times, "acknowledged": total, **_of(lost)}
    return found


def promotions(where: Path, times: int, writers: int, delay_s: float, show: Show) -> dict[str, Any]:
    """The primary, its disk and what is on the way to the replica are gone; the replica serves."""
    found = {}
    for replicas in (0, 1):
        lost, total = [], 0
        for turn in range(times):
            with (
                server_with(where, f"lost-{replicas}-{turn}") as primary,
                followed(where, primary, delay_s) as (replica, link),
            ):
                with load(primary, writers, replicas) as acknowledged:
                    time.sleep(random.uniform(0.1, 1.0))
                    link.kill()  # first: what is sent from now on reaches nobody
                    primary.kill()
                shutil.rmtree(where / primary.name)
                with Redis(port=replica.port) as client:
                    client.replicaof("NO", "ONE")
                lost.append(missing(replica, acknowledged))
                total += sum(acknowledged)
            shutil.rmtree(where / replica.name)
            show(f"primary lost, replicas={replicas}", turn + 1, times)
        found[f"replicas={replicas}"] = {"kills": times, "acknowledged": total, **_of(lost)}
    return found


def _of(lost: list[int]) -> dict[str, int]:
    return {
        "missing": sum(lost),
        "missing_at_most": max(lost),
        "kills_with_missing": sum(number > 0 for number in lost),
    }


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """For people."""
    for title, part in (
        ("react(), one caller, in ms", "cost"),
        ("From the acknowledgement until it is on the disk, in ms", "window"),
        ("kill -9 of the server under load, restarted from its file", "kill"),
        ("Primary lost with its disk, replica promoted", "promotion"),
    ):
        rows = figures[part]
        names = list(next(iter(rows.values())))
        common.print_table(
            title, ["", *names], [[mode, *each.values()] for mode, each in rows.items()], markdown
        )


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--calls", type=click.IntRange(100), default=1_000, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=5, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=20, show_default=True)
@click.option("--kills", "times", type=click.IntRange(1), default=30, show_default=True)
@click.option("--writers", type=click.IntRange(1, 16), default=2, show_default=True)
@click.option(
    "--delay-ms",
    type=click.FloatRange(0, 1_000),
    default=1.0,
    show_default=True,
    help="Of the link to the replica, each way.",
)
@common.as_markdown
@common.as_json
def main(
    calls: int,
    rounds: int,
    seconds: float,
    times: int,
    writers: int,
    delay_ms: float,
    as_markdown: bool,
    as_json: bool,
) -> None:
    """Measure what Redis itself may lose, on servers of its own."""
    common.quiet_logs()
    logging.getLogger("reactions").setLevel(logging.ERROR)
    delay_s = delay_ms / 1e3
    with common.folder("durability") as where, bars(36) as show:
        figures = {
            "machine": common.machine(),
            "link_delay_ms": delay_ms,
            "cost": costs(where, calls, rounds, delay_s, show),
            "window": windows(where, seconds, writers, show),
            "kill": kills(where, times, writers, show),
            "promotion": promotions(where, times, writers, delay_s, show),
        }
    print_tables(figures, as_markdown)
    common.finish(figures, as_json)
