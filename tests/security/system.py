"""Runs the whole system with users and roles, and collects everything that it shows."""

from __future__ import annotations

import base64
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import trustme
from redis import Redis

from reactions.api.client import Reactions
from reactions.core.celery_app import DRAIN, make_app
from reactions.core.settings import Settings
from reactions.demo.process import free_port
from reactions.postgres.migrate import migrate
from tests.support.guarded import (
    PASSWORD,
    Guarded,
    Roles,
    environment,
    running_guarded,
    running_roles,
)
from tests.support.nodes import CeleryProcess, celery_command
from tests.support.waiting import patience, wait_until

POST = 1042
NOWHERE = {"redis_url": "redis://127.0.0.1:1/0", "database_url": "postgresql://127.0.0.1:1/none"}
FLOWER_USER = "reactions"


@dataclass
class System:
    """Servers and processes, each with a user of its own."""

    store: Guarded
    broker: Guarded
    roles: Roles
    database: int
    folder: Path
    processes: list[CeleryProcess] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    """Where something was shown -> what was shown there."""

    def urls(self, user: str, role: str) -> dict[str, str]:
        verified = ""
        if self.store.tls is not None:
            verified = f"?sslmode=verify-full&sslrootcert={self.store.authority}"
        return {
            "redis_url": self.store.url_of(user),
            "broker_url": self.broker.url_of("reactions-broker", self.database),
            "database_url": self.roles.url_of(role) + verified,
            "sweep_interval_s": "1",
        }

    def settings(self, user: str, role: str) -> Settings:
        return Settings(**self.urls(user, role))

    def command(self, *arguments: str, **urls: str) -> subprocess.CompletedProcess[str]:
        """Run a command with a worker's rights or these URLs, and note what it prints."""
        env = environment(**(self.urls("reactions-worker", "writer") | urls))
        result = subprocess.run(
            [sys.executable, "-m", *arguments],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=patience(60),
        )
        self.note(" ".join(arguments), result.stdout + result.stderr)
        return result

    def note(self, where: str, what: object) -> None:
        self.seen[where] = self.seen.get(where, "") + f"\n{what}"


class Flower(CeleryProcess):
    """Flower with a password, at its most talkative log level."""

    def __init__(self, system: System) -> None:
        self.port = free_port()
        env = environment(**(system.urls("reactions-worker", "writer") | NOWHERE))
        env["FLOWER_BASIC_AUTH"] = f"{FLOWER_USER}:{PASSWORD}"
        options = [f"--port={self.port}", "--address=127.0.0.1", "--logging=debug"]
        command = celery_command("flower") + options
        super().__init__("flower", system.folder, command, env, "Broker:")

    def get(self, path: str) -> str:
        """Return one of its pages."""
        credentials = base64.b64encode(f"{FLOWER_USER}:{PASSWORD}".encode()).decode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            headers={"Authorization": f"Basic {credentials}"},
        )
        with urllib.request.urlopen(request, timeout=patience(10)) as reply:  # noqa: S310 - our own
            return str(reply.read().decode())


@contextmanager
def running_system(folder: Path, *, tls: bool) -> Iterator[System]:
    """Run Valkey 9 and PostgreSQL 18; with ``tls``, Redis 7 and PostgreSQL 15, which support it."""
    authority = trustme.CA() if tls else None
    kind, version, database = ("redis", 15, 0) if tls else ("valkey", 18, 1)
    users = ("reactions-web", "reactions-worker")
    with ExitStack() as stack:
        enter = stack.enter_context
        store = enter(running_guarded(folder, kind, users, name="store", tls=authority))
        broker = enter(
            running_guarded(folder, kind, ("reactions-broker",), name="broker", tls=authority)
        )
        roles = enter(running_roles(version, tls=authority))
        system = System(store, broker, roles, database, folder)
        migrate(system.settings("reactions-worker", "owner"))
        yield system


@contextmanager
def working(system: System) -> Iterator[Flower]:
    """Run worker, Beat and Flower, all at their most talkative log level.

    Beat and Flower have the broker only.
    """
    env = environment(**system.urls("reactions-worker", "writer"))
    broker_only = environment(**(system.urls("reactions-worker", "writer") | NOWHERE))
    loud = "--loglevel=DEBUG"
    worker = [*celery_command("worker"), "-Q", "persistence,maintenance", "--concurrency=1", loud]
    flower = Flower(system)
    system.processes = [
        CeleryProcess("worker", system.folder, worker, env, "ready."),
        CeleryProcess(
            "beat", system.folder, [*celery_command("beat"), loud], broker_only, "Starting..."
        ),
        flower,
    ]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(CeleryProcess.start, system.processes))
        yield flower
    finally:
        with ThreadPoolExecutor() as pool:
            list(pool.map(CeleryProcess.stop, system.processes))
        for process in system.processes:
            system.note(f"log of {process.name}", process.log.read_text(errors="replace"))


def run(system: System) -> None:
    """Run the whole system once, and note everything that it shows."""
    with system.broker.admin(system.database) as broker:
        broker.sadd("redbeat::statics", "gone")  # a duty that an earlier version scheduled
        with working(system) as flower:
            work(system, flower, broker)
        system.note("broker, at the end", dump(broker))
    system.command("celery", "-A", "reactions.tasks", "purge", "-f")


def work(system: System, flower: Flower, broker: Redis) -> None:
    """Make a reaction durable, and leave a task in the broker."""
    with Reactions(system.settings("reactions-web", "reader")) as client:
        client.react(1, POST, "love")
        wait_until(lambda: durable(system), 30, "the drain")
        assert client.summaries([POST], 1)[0].counts["love"] == 1
    note_what_shows(system, flower)
    app = make_app(system.settings("reactions-worker", "writer"))
    left = app.send_task(DRAIN, kwargs={"shards": [1]}, countdown=60).id.encode()
    # Wait for this task: the worker also holds Beat's duties for a moment.
    wait_until(lambda: held(broker, left), what="the worker to hold the task")
    system.note("broker", dump(broker))


def held(broker: Redis, task: bytes) -> bool:
    unacked: Any = broker.hgetall("unacked")
    return any(task in message for message in unacked.values())


def durable(system: System) -> bool:
    return system.roles.execute("SELECT 1 FROM reactions WHERE post_id = 1042") != []


def note_what_shows(system: System, flower: Flower) -> None:
    """Note what workers, Flower, the process list and PostgreSQL show."""
    app = make_app(system.settings("reactions-worker", "writer"))
    (name,) = app.control.inspect(timeout=patience(1)).ping()
    inspect = app.control.inspect([name], timeout=patience(10))  # wait until it has answered
    for what in ("conf", "report", "stats", "registered", "active", "scheduled", "reserved"):
        system.note(f"inspect {what}", getattr(inspect, what)())
    for page in ("/workers", f"/worker/{name}", "/broker", "/tasks", "/api/workers?refresh=1"):
        system.note(f"Flower {page}", flower.get(page))
    system.note("Flower queues", flower.get("/api/queues/length"))
    for process in psutil.process_iter(["cmdline"]):
        with suppress(psutil.Error):
            system.note("arguments of processes", process.info["cmdline"])
    system.note("pg_stat_activity", system.roles.execute("SELECT * FROM pg_stat_activity"))


def dump(redis: Redis) -> str:
    """Return every key and value. Kombu writes message bodies in base64."""
    read: dict[object, Callable[[Any], object]] = {
        b"string": redis.get,
        b"list": lambda key: redis.lrange(key, 0, -1),
        b"set": redis.smembers,
        b"hash": redis.hgetall,
        b"zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
    }
    found: list[Any] = list(redis.scan_iter())
    return "\n".join(f"{key!r} {read[redis.type(key)](key)!r}" for key in found)
