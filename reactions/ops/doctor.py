"""The doctor: is everything set up as the promises of the engine need it, and what to do if not.

It only looks. A server that does not answer, or a right that is missing, is a finding too.
"""

from __future__ import annotations

import enum
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from functools import partial
from typing import Any

from celery import Celery
from redbeat.schedulers import RedBeatConfig
from redis import Redis
from redis.exceptions import ResponseError
from sqlalchemy import func, select, text

from reactions.core.celery_app import make_app, make_publisher
from reactions.core.errors import InvalidSettings, ReactionsError, short
from reactions.core.settings import Settings
from reactions.core.urls import REDIS_SCHEMES
from reactions.postgres.database import Database, translated
from reactions.postgres.duty_runs import DutyRuns
from reactions.postgres.ledger import Ledger
from reactions.postgres.migrate import at_head
from reactions.postgres.tables import reaction_types
from reactions.redis.connection import FAILURES, Client, connect, translate
from reactions.redis.memory_usage import nodes
from reactions.redis.outbox import Outbox
from reactions.redis.server_options import VALKEY_OPTIONS

ROOM_WARNING, ROOM_FAILURE = 0.75, 0.9
"""Shares of the memory that are used."""

PENDING_WARNING_S, PENDING_FAILURE_S = 30.0, 300.0
"""Age of the oldest change that is not durable: a sweep comes every few seconds."""

SWEEP_WARNING_S = 180.0
"""Age of the last recorded sweep: one a minute is recorded."""

ANSWER_S = 2.0
"""How long workers have to answer."""

OLDEST_REDIS, OLDEST_VALKEY = (7, 0), (9, 0)
OLDEST_POSTGRES, NEWEST_POSTGRES = 15, 18

ASK_RIGHTS = "ask again as a user that may, such as admin of deploy/redis-users.acl"


class State(enum.StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    """Nothing is lost by it now; or it could not be known."""
    FAILURE = "failure"
    """A promise does not hold, or will not for long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: what, in two or three words.
        found: what is the case, with the figures.
        remedy: what to do; empty where all is well.
    """

    check: str
    state: State
    found: str
    remedy: str = ""


Found = Iterator[Finding]


def examine(settings: Settings) -> list[Finding]:
    """Examine everything: a few seconds, more where a server does not answer."""
    with ExitStack() as stack:
        database = Database(settings, name="reactions-doctor")
        stack.callback(database.close)
        findings = [*_of_environment(), *_of_schedule(settings)]
        client: Client | None = None
        try:
            client = stack.enter_context(connect(settings))
            client.ping()
        except (ReactionsError, *FAILURES) as error:
            said = error if isinstance(error, ReactionsError) else translate(error)
            findings.append(_silent("redis", said, "start it, or set REACTIONS_REDIS_URL"))
            client = None
        if client is not None:
            findings += _of_redis(client, settings)
        postgres = _reach_postgres(database)
        findings += [postgres]
        if postgres.state is State.OK:
            findings += _of_postgres(database, settings)
        findings += _of_clocks(client, database if postgres.state is State.OK else None, settings)
        findings += _of_broker(settings)
    return findings


def _silent(server: str, error: BaseException, remedy: str) -> Finding:
    return Finding(server, State.FAILURE, short(f"does not answer: {error}", 300), remedy)


def _guarded(check: str, look: Callable[[], Iterable[Finding]]) -> Found:
    """A check that cannot be done is a finding."""
    try:
        yield from look()
    except ResponseError as error:
        yield Finding(check, State.WARNING, short(f"not known: {error}", 200), ASK_RIGHTS)
    except (ReactionsError, *FAILURES) as error:
        remedy = "mend what else is found, then ask again"
        yield Finding(check, State.WARNING, short(f"not known: {error}", 200), remedy)


# -- this process ----------------------------------------------------------------------------------


def _of_environment() -> Found:
    """A misspelt setting would be left out without a word."""
    known = [f"REACTIONS_{name.upper()}" for name in Settings.model_fields]
    ours = {name.upper() for name in os.environ if name.upper().startswith("REACTIONS_")}
    # Kubernetes tells of a service called reactions-redis in REACTIONS_REDIS_SERVICE_HOST, _PORT, …
    services = [n.removesuffix("SERVICE_HOST") for n in ours if n.endswith("_SERVICE_HOST")]
    told = tuple(f"{service}{end}" for service in services for end in ("SERVICE_", "PORT"))
    unknown = sorted(name for name in ours.difference(known) if not name.startswith(told))
    if not unknown:
        yield Finding("environment", State.OK, "every REACTIONS_ variable is a setting")
        return
    nearest = {name: get_close_matches(name, known, 1, 0.9) for name in unknown}
    meant = "".join(f"{near} for {name}; " for name, found in nearest.items() for near in found)
    remedy = f"{'set ' if meant else ''}{meant}docs/configuration.md has every setting"
    found = f"no settings, so nothing heeds them: {', '.join(unknown)}"
    yield Finding("environment", State.WARNING, short(found, 300), short(remedy, 300))


# -- Redis -----------------------------------------------------------------------------------------


def _of_redis(client: Client, settings: Settings) -> Found:
    for name, node in nodes(client):
        yield from _of_server(name, node)
        yield from _guarded(f"{name} listpacks", partial(_listpacks, name, node))
    yield from _guarded("oldest pending", lambda: _pending(Outbox(client, settings)))


def _of_server(name: str, node: Redis) -> Found:
    """What holds for the data server and for the broker."""
    checks: Mapping[str, Callable[[str, Redis], Found]] = {
        "version": _version,
        "eviction": _eviction,
        "persistence": _persistence,
        "memory": _memory,
    }
    for check, look in checks.items():
        title = f"{name} {check}"
        yield from _guarded(title, partial(look, title, node))


def _version(check: str, node: Redis) -> Found:
    info = node.info("server")
    valkey = info.get("valkey_version")
    found = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
    numbers = tuple(int(part) for part in str(valkey or info["redis_version"]).split(".")[:2])
    oldest = OLDEST_VALKEY if valkey else OLDEST_REDIS
    if numbers >= oldest:
        yield Finding(check, State.OK, found)
    elif valkey:
        yield Finding(check, State.WARNING, f"{found} is not tested", "use Valkey 9")
    else:
        yield Finding(check, State.FAILURE, f"{found} is too old", "use Redis 7 or Valkey 9")


def _eviction(check: str, node: Redis) -> Found:
    policy = str(node.info("memory")["maxmemory_policy"])
    if policy == "noeviction" or policy.startswith("volatile-"):
        yield Finding(check, State.OK, policy)
        return
    yield Finding(
        check,
        State.FAILURE,
        f"{policy}: it may evict reactions or tasks that are nowhere else",
        "CONFIG SET maxmemory-policy volatile-lru, and the same in its configuration file",
    )


def _persistence(check: str, node: Redis) -> Found:
    info = node.info("persistence")
    if not info["aof_enabled"]:
        yield _without_log(check, node)
        return
    if info["aof_last_write_status"] != "ok":
        remedy = "free its disk: it refuses writes until the file can be written again"
        yield Finding(check, State.FAILURE, "the last write of the append-only file failed", remedy)
        return
    fsync = _option(node, "appendfsync")
    if fsync == "no":
        remedy = "CONFIG SET appendfsync everysec: a machine that dies loses a second, not thirty"
        yield Finding(check, State.WARNING, "appendonly, appendfsync no", remedy)
    elif info["aof_last_bgrewrite_status"] != "ok":
        remedy = "see its log: without a rewrite the append-only file grows until the disk is full"
        yield Finding(check, State.WARNING, "the last rewrite failed", remedy)
    else:
        yield Finding(check, State.OK, f"appendonly, appendfsync {fsync}")


def _without_log(check: str, node: Redis) -> Finding:
    remedy = "CONFIG SET appendonly yes, and the same in its configuration file"
    snapshots = _option(node, "save")
    if snapshots:
        found = f"snapshots only (save {snapshots}): a crash loses what came since the last"
        return Finding(check, State.WARNING, found, remedy)
    return Finding(check, State.FAILURE, "none: a restart loses everything", remedy)


def _memory(check: str, node: Redis) -> Found:
    info = node.info("memory")
    used, limit = int(info["used_memory"]), int(info["maxmemory"])
    of = "maxmemory" if limit else "the machine's memory, as there is no maxmemory"
    limit = limit or int(info.get("total_system_memory", 0))
    share = used / limit if limit else 0.0
    found = f"{_mb(used)} used of {_mb(limit)}, {of} ({share:.0%})"
    if share < ROOM_WARNING:
        yield Finding(check, State.OK, found)
        return
    state = State.FAILURE if share >= ROOM_FAILURE else State.WARNING
    remedy = "raise maxmemory; see that workers and PostgreSQL keep up, as drains make room"
    yield Finding(check, state, found, remedy)


def _listpacks(name: str, node: Redis) -> Found:
    """The figures for memory hold with these limits; nothing else does."""
    check = f"{name} listpacks"
    wanted = {key: int(VALKEY_OPTIONS[f"hash-max-listpack-{key}"]) for key in ("entries", "value")}
    found = {key: int(_option(node, f"hash-max-listpack-{key}") or 0) for key in wanted}
    said = ", ".join(f"{key} {number}" for key, number in found.items())
    if all(found[key] >= wanted[key] for key in wanted):
        yield Finding(check, State.OK, said)
        return
    settings = ", ".join(f"hash-max-listpack-{key} {number}" for key, number in wanted.items())
    remedy = f"CONFIG SET {settings}: a reaction takes 12 bytes then, else four times as many"
    yield Finding(check, State.WARNING, said, remedy)


def _option(node: Redis, name: str) -> str:
    """One of the server's options; a ResponseError where CONFIG is not for this user."""
    found: Any = node.config_get(name)
    return str(found.get(name, ""))


def _pending(outbox: Outbox) -> Found:
    states = outbox.states()
    age = max(state.oldest_age_s for state in states)
    dirty = sum(state.dirty_posts for state in states)
    found = f"{dirty:,} posts with something pending, the oldest for {age:,.1f} s"
    if age < PENDING_WARNING_S:
        yield Finding("oldest pending", State.OK, found if dirty else "nothing is pending")
        return
    state = State.FAILURE if age >= PENDING_FAILURE_S else State.WARNING
    remedy = "see that a worker consumes `persistence` and that PostgreSQL answers it; its log"
    yield Finding("oldest pending", state, found, remedy)


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


# -- PostgreSQL ------------------------------------------------------------------------------------


def _reach_postgres(database: Database) -> Finding:
    check = "postgresql version"
    try:
        with database.transaction() as connection:
            number = int(connection.scalar(text("SHOW server_version_num")) or 0)
    except ReactionsError as error:
        return _silent("postgresql", error, "start it, or set REACTIONS_DATABASE_URL")
    major = number // 10_000
    found = f"PostgreSQL {major}.{number % 10_000}"
    if major < OLDEST_POSTGRES:
        return Finding(check, State.FAILURE, f"{found} is too old", "use PostgreSQL 15 to 18")
    if major > NEWEST_POSTGRES:
        return Finding(check, State.OK, f"{found}, newer than what is tested")
    return Finding(check, State.OK, found)


def _of_postgres(database: Database, settings: Settings) -> Found:
    yield from _guarded("migrations", lambda: _migrations(settings))
    yield from _guarded("reaction types", lambda: _types(database, settings))
    yield from _guarded("dead letters", lambda: _letters(database))
    yield from _guarded("duties", lambda: _duties(database))


def _migrations(settings: Settings) -> Found:
    with translated():
        current = at_head(settings)
    if current:
        yield Finding("migrations", State.OK, "at head")
    else:
        found = "the database does not have the schema of this version"
        yield Finding("migrations", State.FAILURE, found, "run: reactions migrate")


def _types(database: Database, settings: Settings) -> Found:
    table = reaction_types.c
    with database.transaction() as connection:
        known = dict(connection.execute(select(table.name, table.code)).all())
    wanted = settings.reaction_types
    missing = [name for name in wanted if name not in known]
    wrong = [name for name, code in wanted.items() if known.get(name, code) != code]
    wrong += [n for n in missing if wanted[n] in known.values()]
    if wrong:
        found = f"{', '.join(wrong)}: the database knows another code, or the code as another type"
        remedy = "set REACTIONS_REACTION_TYPES as the database has it; append what is new"
        yield Finding("reaction types", State.FAILURE, found, remedy)
    elif missing:
        found = f"not registered: {', '.join(missing)}; their rows would be refused"
        yield Finding("reaction types", State.FAILURE, found, "run: reactions migrate")
    else:
        yield Finding("reaction types", State.OK, f"{len(wanted)} registered")


def _letters(database: Database) -> Found:
    number = Ledger(database).count_dead_letters()
    if number:
        remedy = "reactions deadletters says why; with --replay it tries them again"
        yield Finding("dead letters", State.WARNING, f"{number:,} changes were refused", remedy)
    else:
        yield Finding("dead letters", State.OK, "none")


def _duties(database: Database) -> Found:
    """A sweep comes every few seconds, and its records every minute."""
    ended = {total.duty: total.succeeded_at for total in DutyRuns(database).totals()}.get("sweep")
    remedy = "start beat, and a worker for `maintenance`: celery -A reactions.tasks beat"
    if ended is None:
        yield Finding("duties", State.WARNING, "no sweep was ever recorded", remedy)
        return
    age = (datetime.now(UTC) - ended).total_seconds()
    state = State.WARNING if age > SWEEP_WARNING_S else State.OK
    found = f"the last sweep was recorded {age:,.0f} s ago"
    yield Finding("duties", state, found, remedy if state is State.WARNING else "")


# -- clocks ----------------------------------------------------------------------------------------


def _of_clocks(client: Client | None, database: Database | None, settings: Settings) -> Found:
    """Against this host; a lease is kept a tenth shorter than it is, for clocks that differ."""
    clocks: dict[str, Callable[[], float]] = {}
    if client is not None:
        clocks |= {name: partial(_redis_time, node) for name, node in nodes(client)}
    if database is not None:
        clocks["postgresql"] = partial(_postgres_time, database)

    def look() -> Found:
        ahead = {"this host": 0.0} | {name: _ahead(clock) for name, clock in clocks.items()}
        skew = max(ahead.values()) - min(ahead.values())
        found = ", ".join(f"{name} {by:+.3f} s" for name, by in ahead.items())
        if skew <= settings.lease_s / 10:
            yield Finding("clocks", State.OK, found)
        else:
            state = State.FAILURE if skew > settings.lease_s else State.WARNING
            remedy = "run an NTP client on each of them: they differ by more than lease_s / 10"
            yield Finding("clocks", state, found, remedy)

    if clocks:
        yield from _guarded("clocks", look)


def _ahead(clock: Callable[[], float]) -> float:
    """Seconds; of a few tries the quickest, as its answer is the least uncertain."""
    tries = []
    for _ in range(3):
        before = time.time()
        said = clock()
        after = time.time()
        tries.append((after - before, said - (before + after) / 2))
    return min(tries)[1]


def _redis_time(node: Redis) -> float:
    seconds, micros = node.time()
    return float(seconds) + float(micros) / 1e6


def _postgres_time(database: Database) -> float:
    with database.transaction() as connection:
        # Asked twice: the first word of a transaction is its beginning, a round trip of its own.
        connection.execute(text("SELECT 1"))
        return float(connection.scalar(select(func.extract("epoch", func.clock_timestamp()))) or 0)


# -- broker, workers, beat -------------------------------------------------------------------------


def _of_schedule(settings: Settings) -> Found:
    """What would make retries come twice; no worker starts with it."""
    try:
        config = make_app(settings).conf
    except InvalidSettings as error:
        yield Finding("retry schedule", State.FAILURE, str(error), "lower REACTIONS_RETRY_CAP_S")
        return
    timeout = config.broker_transport_options["visibility_timeout"]
    longest = settings.retry_cap_s + config.task_time_limit
    found = f"{longest:g} s at most, and the broker delivers again after {timeout:g} s"
    yield Finding("retry schedule", State.OK, found)


def _of_broker(settings: Settings) -> Found:
    try:
        app = make_publisher(settings)
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, timeout=ANSWER_S)
    except Exception as error:  # noqa: BLE001 - a transport raises what it likes
        yield _silent("broker", error, "start it, or set REACTIONS_BROKER_URL")
        return
    url = settings.broker_url.get_secret_value()
    if url.startswith(REDIS_SCHEMES):
        with Redis.from_url(url, socket_timeout=ANSWER_S, socket_connect_timeout=ANSWER_S) as node:
            yield from _of_server("broker", node)
            yield from _guarded("beat", lambda: _beat(node, app))
    yield from _workers(make_app(settings))


def _beat(node: Redis, app: Celery) -> Found:
    """RedBeat's lock lapses ten seconds after the last tick of its holder."""
    if node.get(RedBeatConfig(app).lock_key) is not None:
        yield Finding("beat", State.OK, "holds its lock")
    else:
        remedy = "celery -A reactions.tasks beat, under a supervisor"
        yield Finding("beat", State.FAILURE, "nobody holds its lock, so no duty runs", remedy)


def _workers(app: Celery) -> Found:
    """Each queue has somebody."""
    try:
        answers = app.control.inspect(timeout=ANSWER_S).active_queues() or {}
    except Exception as error:  # noqa: BLE001 - a transport raises what it likes
        found = short(f"not known: {error}", 200)
        yield Finding("workers", State.WARNING, found, "mend the broker, then ask again")
        return
    for queue in (queue.name for queue in app.conf.task_queues):
        by = sorted(name for name, taken in answers.items() if queue in _names(taken))
        if by:
            said = short(", ".join(by), 200)
            yield Finding(f"queue {queue}", State.OK, f"{len(by)} consuming: {said}")
        else:
            remedy = f"celery -A reactions.tasks worker -Q {queue}, under a supervisor"
            found = f"no worker answered within {ANSWER_S:g} s that consumes it"
            yield Finding(f"queue {queue}", State.FAILURE, found, remedy)


def _names(queues: object) -> set[object]:
    """Whoever can write to the broker may answer anything."""
    found = queues if isinstance(queues, list) else []
    return {queue.get("name") for queue in found if isinstance(queue, dict)}
