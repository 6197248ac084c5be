"""The cost of a call, the window until fsync, and the losses of kills and promotions."""

from __future__ import annotations

import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from redis import Redis

from benchmarks.scenarios.durability.load import POSTS, load, missing
from benchmarks.scenarios.durability.replica import followed, server_with, settings_of
from benchmarks.support.output import Show
from benchmarks.support.statistics import quantiles
from reactions.api.client import Reactions
from reactions.demo.replay import quantile

MODES = ("everysec", "always", "replicas=1")

SAMPLES = 100_000

POLL_S = 0.0005
"""Pause between two looks at the thread that calls fsync."""

APART_S = 0.1
"""Switches of the thread that are closer together belong to one fsync."""


def costs(where: Path, calls: int, rounds: int, delay_s: float, show: Show) -> dict[str, Any]:
    """Time react() by one caller; the modes take turns. Ratios compare the medians of rounds."""
    took: dict[str, list[list[float]]] = {mode: [] for mode in MODES}
    with (
        server_with(where, "everysec") as everysec,
        server_with(where, "always", "always") as always,
        server_with(where, "replicated") as replicated,
        followed(where, replicated, delay_s),
    ):
        servers = dict(zip(MODES, (everysec, always, replicated), strict=True))
        clients = {mode: Reactions(settings_of(server)) for mode, server in servers.items()}
        for turn in range(rounds + 1):  # the first round warms up
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
    """The time from an acknowledgement until the write is on the disk, under load.

    With ``always`` the reply waits for the disk, so there is no such time.
    """
    with server_with(where, "window") as server, load(server, writers, 0) as acknowledged:
        began, before = time.monotonic(), sum(acknowledged)
        fsyncs = _fsyncs(server.pid, seconds, lambda at: show("window", int(at), int(seconds)))
        rate = (sum(acknowledged) - before) / (time.monotonic() - began)
        server.kill()
    first, last = fsyncs[0][0], fsyncs[-1][0]
    took = []
    for _ in range(SAMPLES):  # moments are equally likely
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
    """Begin and end of each fsync of the append-only file, in s of the monotonic clock.

    It observes the context switches of the thread that does nothing but fsync. WAITAOF would not
    do: with everysec it replies too early, since Redis 7.4 (redis/redis#13793) and in Valkey 9.1.2.
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
        time.sleep(POLL_S)
    return found


def kills(where: Path, times: int, writers: int, show: Show) -> dict[str, Any]:
    """Kill the server with SIGKILL under load, and restart it from its append-only file."""
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
    """Lose the primary, its disk and the bytes in the link, and promote the replica."""
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
                    link.kill()  # first: later bytes of the primary reach nobody
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
