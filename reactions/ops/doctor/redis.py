"""Redis: version, role, eviction, persistence, memory, listpacks, and the oldest pending change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Any

from redis import Redis

from reactions.core import layout
from reactions.core.errors import LayoutMismatch, short
from reactions.core.settings import Settings
from reactions.ops.doctor.findings import Finding, Findings, State, guarded
from reactions.redis.advice import CLUSTER_ADVICE
from reactions.redis.connection import Client, connect, translated
from reactions.redis.layout import read_layout
from reactions.redis.memory_usage import nodes
from reactions.redis.outbox_state import OutboxState
from reactions.redis.server_options import VALKEY_OPTIONS
from reactions.redis.server_role import check_kind

MEMORY_WARNING, MEMORY_FAILURE = 0.75, 0.9
"""Used share of the memory limit from which on the state is a warning or a failure."""

PENDING_WARNING_S, PENDING_FAILURE_S = 30.0, 300.0
"""Age of the oldest change that is not durable yet; a sweep runs every few seconds."""

OLDEST_REDIS, OLDEST_VALKEY = (7, 0), (9, 0)


def open_redis(settings: Settings, closing: ExitStack) -> Client:
    """Connect and send a PING; `closing` closes the connection.

    Raises:
        ReactionsError: the settings are invalid, Redis does not answer, or the server is a Sentinel
            or a node of a cluster that the settings do not name.
    """
    with translated():
        client: Client = closing.enter_context(connect(settings))
        client.ping()
        if isinstance(client, Redis):
            check_kind(client, node=CLUSTER_ADVICE)
    return client


def check_redis(client: Client, settings: Settings) -> Findings:
    """Check every node that holds reactions, the layout of the keys, and the outbox."""
    for name, node in nodes(client):
        yield from check_server(name, node)
        yield from guarded(f"{name} listpacks", partial(_listpacks, f"{name} listpacks", node))
    yield from guarded("redis layout", lambda: _layout(client))
    yield from check_pending(client, settings)


def check_pending(client: Client, settings: Settings) -> Findings:
    """Check the outbox of one space."""
    yield from guarded("oldest pending", lambda: _pending(OutboxState(client, settings)))


def check_server(name: str, node: Redis) -> Findings:
    """Run the checks that apply to the data server and to the broker."""
    checks: Mapping[str, Callable[[str, Redis], Findings]] = {
        "version": _version,
        "role": _role,
        "eviction": _eviction,
        "persistence": _persistence,
        "memory": _memory,
    }
    for suffix, examine in checks.items():
        check = f"{name} {suffix}"
        yield from guarded(check, partial(examine, check, node))


def _version(check: str, node: Redis) -> Findings:
    info = node.info("server")
    valkey = info.get("valkey_version")
    found = f"Valkey {valkey}" if valkey else f"Redis {info['redis_version']}"
    version = tuple(int(part) for part in str(valkey or info["redis_version"]).split(".")[:2])
    oldest = OLDEST_VALKEY if valkey else OLDEST_REDIS
    if version >= oldest:
        yield Finding(check, State.OK, found)
    elif valkey:
        yield Finding(check, State.WARNING, f"{found} is not tested", "use Valkey 9")
    else:
        yield Finding(check, State.FAILURE, f"{found} is too old", "use Redis 7 or Valkey 9")


def _role(check: str, node: Redis) -> Findings:
    info = node.info("replication")
    if info["role"] == "master":
        yield Finding(check, State.OK, f"primary, {info['connected_slaves']} replicas")
        return
    setting = "REACTIONS_BROKER_URL" if check.startswith("broker") else "REACTIONS_REDIS_URL"
    found = f"a replica of {info['master_host']}:{info['master_port']}, which refuses writes"
    remedy = f"let {setting} name the primary, or a name that follows the primary"
    yield Finding(check, State.FAILURE, short(found, 200), remedy)


def _eviction(check: str, node: Redis) -> Findings:
    policy = str(node.info("memory")["maxmemory_policy"])
    if policy == "noeviction" or policy.startswith("volatile-"):
        yield Finding(check, State.OK, policy)
        return
    yield Finding(
        check,
        State.FAILURE,
        f"{policy}: it may evict reactions or tasks that no other store has",
        "CONFIG SET maxmemory-policy volatile-lru, and the same in its configuration file",
    )


def _persistence(check: str, node: Redis) -> Findings:
    info = node.info("persistence")
    if not info["aof_enabled"]:
        yield _without_append_only_file(check, node)
        return
    if info["aof_last_write_status"] != "ok":
        remedy = "free disk space: the server refuses writes until it can write this file again"
        yield Finding(check, State.FAILURE, "the last write of the append-only file failed", remedy)
        return
    fsync = _option(node, "appendfsync")
    if fsync == "no":
        remedy = (
            "CONFIG SET appendfsync everysec: a crash of the machine then loses one second of"
            " writes, not thirty"
        )
        yield Finding(check, State.WARNING, "appendonly, appendfsync no", remedy)
    elif info["aof_last_bgrewrite_status"] != "ok":
        remedy = "see the server's log: without rewrites, the file grows until the disk is full"
        found = "the last rewrite of the append-only file failed"
        yield Finding(check, State.WARNING, found, remedy)
    else:
        yield Finding(check, State.OK, f"appendonly, appendfsync {fsync}")


def _without_append_only_file(check: str, node: Redis) -> Finding:
    remedy = "CONFIG SET appendonly yes, and the same in its configuration file"
    snapshots = _option(node, "save")
    if snapshots:
        found = f"snapshots only (save {snapshots}): a crash loses all writes since the last one"
        return Finding(check, State.WARNING, found, remedy)
    return Finding(check, State.FAILURE, "none: a restart loses everything", remedy)


def _memory(check: str, node: Redis) -> Findings:
    info = node.info("memory")
    used, limit = int(info["used_memory"]), int(info["maxmemory"])
    limited_by = "maxmemory" if limit else "the machine's memory, because maxmemory is not set"
    limit = limit or int(info.get("total_system_memory", 0))
    share = used / limit if limit else 0.0
    found = f"{_megabytes(used)} used of {_megabytes(limit)}, {limited_by} ({share:.0%})"
    if share < MEMORY_WARNING:
        yield Finding(check, State.OK, found)
        return
    state = State.FAILURE if share >= MEMORY_FAILURE else State.WARNING
    remedy = (
        "raise maxmemory; check that workers and PostgreSQL keep up, because drains free memory"
    )
    yield Finding(check, state, found, remedy)


def _listpacks(check: str, node: Redis) -> Findings:
    """The memory figures of docs/ hold with these limits only; nothing else depends on them."""
    wanted = {key: int(VALKEY_OPTIONS[f"hash-max-listpack-{key}"]) for key in ("entries", "value")}
    present = {key: int(_option(node, f"hash-max-listpack-{key}") or 0) for key in wanted}
    found = ", ".join(f"{key} {number}" for key, number in present.items())
    if all(present[key] >= wanted[key] for key in wanted):
        yield Finding(check, State.OK, found)
        return
    options = " ".join(f"hash-max-listpack-{key} {number}" for key, number in wanted.items())
    remedy = f"CONFIG SET {options}: a reaction then takes 12 bytes, not four times as many"
    yield Finding(check, State.WARNING, found, remedy)


def _option(node: Redis, name: str) -> str:
    """One option of the server.

    Raises:
        ResponseError: this user may not run CONFIG.
    """
    options: Any = node.config_get(name)
    return str(options.get(name, ""))


def _layout(client: Client) -> Findings:
    """Compare the layout of the keys with that of this version."""
    check, found = "redis layout", read_layout(client)
    try:
        layout.check(found)
    except LayoutMismatch as error:
        yield Finding(check, State.FAILURE, error.found, error.remedy)
        return
    if found is None:
        yield Finding(check, State.OK, "none yet: the first drain or `reactions migrate` writes it")
    elif found < layout.CURRENT:
        remedy = "run: reactions migrate"
        yield Finding(check, State.WARNING, f"{found}, of an older version", remedy)
    elif found > layout.CURRENT:
        remedy = layout.UPGRADE
        yield Finding(check, State.WARNING, f"{found}, of a newer version", remedy)
    else:
        yield Finding(check, State.OK, str(found))


def _pending(outbox: OutboxState) -> Findings:
    states = outbox.states()
    age_s = max(state.oldest_age_s for state in states)
    dirty = sum(state.dirty_posts for state in states)
    found = f"{dirty:,} posts have pending changes, the oldest for {age_s:,.1f} s"
    if age_s < PENDING_WARNING_S:
        yield Finding("oldest pending", State.OK, found if dirty else "nothing is pending")
        return
    state = State.FAILURE if age_s >= PENDING_FAILURE_S else State.WARNING
    remedy = "check that a worker consumes `persistence` and that PostgreSQL answers; see its log"
    yield Finding("oldest pending", state, found, remedy)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
