"""The users of ``deploy/redis-users.acl`` have exactly the rights that they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, NoPermissionError
from redis.retry import Retry

from reactions.api.client import Reactions
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.drain.batch import DrainFailed
from reactions.redis import scripts
from tests.security import workload
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.guarded import DEPLOY, Guarded, running_guarded
from tests.support.reading import SMALL_SAMPLE, VIRAL, shrink
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

WEB, WORKER, BROKER = "reactions-web", "reactions-worker", "reactions-broker"

BEFORE_LOGIN = {"auth", "hello"}  # every server allows these to everybody

ONLY_ON_A_CLUSTER = {"cluster|slots", "command"}  # only the client of a cluster sends these

NEVER_REACHED = {WEB: set[str](), WORKER: {"lpushx", "rpop"}}
"""Commands in a part of a script that the user never reaches: a worker only removes reactions."""

DENIED = "[Nn]o permissions|The user executing the script can't"
"""The error of Redis 7.2 and Valkey, and the error of Redis 7.0."""

SCRIPTS = scripts.ALL


def commands_of(names: set[str]) -> set[str]:
    """Return the commands in the text of these scripts."""
    sources = [re.sub(r"--.*", "", found.source) for found in SCRIPTS if found.name in names]
    called = re.findall(r"call\(\s*'([A-Z]+)'", "\n".join(sources))
    return {name.lower() for name in called}


class Tally:
    """Collects which commands and scripts each user runs, from the statistics of the server."""

    def __init__(self, admin: Redis) -> None:
        self._admin = admin
        self.commands: dict[str, set[str]] = {WEB: set(), WORKER: set()}
        self.scripts: dict[str, set[str]] = {WEB: set(), WORKER: set()}

    @contextmanager
    def of(self, user: str) -> Iterator[None]:
        self._admin.script_flush()
        self._admin.config_resetstat()
        yield
        seen = self._admin.info("commandstats")
        ran = self._admin.script_exists(*(found.sha for found in SCRIPTS))
        own = {"config|resetstat", *BEFORE_LOGIN}
        names = {name.removeprefix("cmdstat_") for name, found in seen.items() if found["calls"]}
        self.commands[user] |= names - own
        self.scripts[user] |= {
            found.name for found, there in zip(SCRIPTS, ran, strict=True) if there
        }


@pytest.fixture(scope="module", params=["valkey", "redis", "cluster"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp(request.param)
    with running_guarded(folder, request.param, (WEB, WORKER)) as running:
        yield running


@pytest.fixture
def admin(server: Guarded) -> Iterator[Redis]:
    with server.admin() as client:
        client.flushall()
        client.acl_log_reset()
        yield client


@pytest.fixture
def settings_of(server: Guarded, database_url: str) -> Callable[[str], Settings]:
    def settings(user: str) -> Settings:
        return Settings(
            redis_url=server.url_of(user),
            redis_cluster=server.name == "cluster",
            database_url=database_url,
            broker_url=DEAD_BROKER,
            viral_threshold=VIRAL,
            viral_horizon_s=0,
            batch_rows=6,  # a large post is seven users
            lease_s=1.0,
            replica_timeout_s=0.01,
        )

    return settings


def granted(server: Guarded, user: str) -> set[str]:
    """Return the commands that the file grants to a user. It must grant each by its name."""
    (line,) = re.findall(rf"^user {user} (.*)$", server.users.read_text("utf-8"), re.MULTILINE)
    rights = line.partition(" -@all ")[2].split()
    assert rights
    assert all(re.fullmatch(r"\+[a-z|]+", right) for right in rights), "single commands only"
    return {right[1:] for right in rights}


def unused(granted: set[str], used: set[str]) -> set[str]:
    return {name for name in granted if not any(covers(name, command) for command in used)}


def refused(granted: set[str], used: set[str]) -> set[str]:
    return {command for command in used if not any(covers(name, command) for name in granted)}


def covers(name: str, command: str) -> bool:
    return command == name or command.startswith(f"{name}|")


def run_everything(tally: Tally, admin: Redis, settings_of: Callable[[str], Settings]) -> None:
    """Do everything that web tier, workers and operators do, in an order with work for each."""
    with tally.of(WORKER):
        engine = make_engine(settings_of(WORKER))
        assert engine.client.ping()
    with tally.of(WEB):
        client = Reactions(settings_of(WEB))
        web: Any = workload.Called(client)
        assert client._client.ping()
        workload.limit(settings_of(WEB))
        workload.write(web)
    for step in (workload.read, workload.change, workload.read):
        with tally.of(WORKER):
            engine.drain()
            engine.loader.load([workload.REGULAR, workload.HOT, workload.SMALL])
            engine.user_loader.load([1, 3, 15, 4711])
        with tally.of(WEB):
            step(web)
    with tally.of(WORKER):
        engine.drain()
    with tally.of(WEB):
        workload.change(web)
        workload.read(web)  # the summaries are there when a worker erases what users did
        workload.erase(web)
        workload.jump(admin, web)
    with tally.of(WORKER):
        workload.run_duties(engine)
        workload.operate(settings_of(WORKER))
    workload.evict(admin)
    with tally.of(WEB):
        workload.read(web)
    for lose in (lambda _: None, workload.step_back, Redis.flushall):
        lose(admin)
        with tally.of(WORKER):
            workload.recover(engine)
    assert web.all()
    client.close()
    engine.close()


def test_every_granted_command_is_used_and_every_used_one_granted(
    server: Guarded,
    admin: Redis,
    settings_of: Callable[[str], Settings],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shrink(monkeypatch, SMALL_SAMPLE, 4, 8)
    monkeypatch.setattr(scripts.user_cache, "MAX_USER_POSTS", 2)
    tally = Tally(admin)
    run_everything(tally, admin, settings_of)
    assert tally.scripts[WEB] | tally.scripts[WORKER] == {found.name for found in SCRIPTS}
    for name in (WEB, WORKER):
        may, used = granted(server, name), tally.commands[name]
        extra = set[str]() if server.name == "cluster" else ONLY_ON_A_CLUSTER
        assert unused(may, used) == extra, name
        assert refused(may, used) == set(), name
        assert commands_of(tally.scripts[name]) - may == NEVER_REACHED[name], name
    assert admin.acl_log() == []


@pytest.mark.parametrize("server", ["valkey", "redis"], indirect=True)
def test_nothing_dangerous_is_granted(server: Guarded, admin: Redis) -> None:
    """Except INFO for workers, which check whether the server may evict pending changes."""
    for name, allowed in ((WEB, set[str]()), (WORKER, {"info"}), (BROKER, set[str]())):
        may = granted(server, name)
        dangerous = set(admin.acl_cat("dangerous"))
        assert {right for right in may if right in dangerous} == allowed
        assert not may & {"flushall", "flushdb", "config", "keys", "debug", "acl", "client"}
    once = Retry(NoBackoff(), 0)
    with Redis(port=server.port, retry=once) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()


def test_nobody_can_log_in_with_the_file_as_shipped() -> None:
    lines = (DEPLOY / "redis-users.acl").read_text("utf-8").splitlines()
    assert [line.split()[1] for line in lines] == ["default", "admin", WEB, WORKER, BROKER]
    for line in lines:
        assert line.split()[2] == "off"
        assert not re.search(r" [>#]| nopass", line)


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
@pytest.mark.parametrize("pattern", ["post:*", "user:*", "outbox:*"])
@pytest.mark.parametrize("user", [WEB, WORKER])
def test_every_key_pattern_is_needed(
    admin: Redis, settings_of: Callable[[str], Settings], user: str, pattern: str
) -> None:
    engine = make_engine(settings_of(user))
    others = [f"~{other}" for other in ("post:*", "user:*", "outbox:*") if other != pattern]
    rules: Any = admin.execute_command  # acl_setuser would reset the user
    rules("ACL SETUSER", user, "resetkeys", *others)
    try:
        with pytest.raises((ReactionsUnavailable, DrainFailed), match=DENIED):
            do_some(engine, user)
    finally:
        admin.acl_load()
    do_some(engine, user)
    engine.close()


def do_some(engine: Engine, user: str) -> None:
    client = engine.reactions
    client.react(1, workload.REGULAR, "like")
    if user == WORKER:
        engine.drain()
        engine.loader.load([workload.REGULAR, workload.SMALL])
        engine.user_loader.load([1, 4711])
    else:
        assert client.summaries([workload.REGULAR], 1)[0].reaction == "like"
        client.summaries([workload.SMALL], 4711)


@pytest.mark.parametrize("server", ["valkey", "redis"], indirect=True)
@pytest.mark.parametrize("command", ["rename", "evalsha"])
def test_a_worker_that_lacks_a_command_loses_nothing(
    admin: Redis, settings_of: Callable[[str], Settings], command: str
) -> None:
    """The reaction stays pending, the error names the command, and a later drain records it."""
    with Reactions(settings_of(WEB)) as web:
        web.react(1, workload.REGULAR, "like")
    engine = make_engine(settings_of(WORKER))
    rules: Any = admin.execute_command
    rules("ACL SETUSER", WORKER, f"-{command}")
    try:
        with pytest.raises((ReactionsUnavailable, DrainFailed), match=DENIED):
            engine.drain()
    finally:
        admin.acl_load()
    assert engine.outbox_state.pending() == 1
    engine.drain()
    assert engine.queries.reactions([workload.REGULAR]) == {workload.REGULAR: {1: 1}}
    assert engine.verify().holds
    engine.close()


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_a_refused_erasure_raises_an_error(
    admin: Redis, settings_of: Callable[[str], Settings]
) -> None:
    """Once the right is back, the erasure continues, and counts only what it has removed."""
    engine = make_engine(settings_of(WORKER))
    engine.reactions.react(3, workload.REGULAR, "like")
    engine.drain()
    with Reactions(settings_of(WEB)) as web:
        web.forget_user(3)
    rules: Any = admin.execute_command
    rules("ACL SETUSER", WORKER, "-hmget")
    try:
        with pytest.raises(ReactionsUnavailable, match=DENIED):
            engine.eraser.erase()
    finally:
        admin.acl_load()

    def erased() -> bool:
        engine.eraser.erase()
        engine.drain()
        return not any(engine.erasure_requests.unfinished())

    wait_until(erased)
    assert engine.queries.reactions([workload.REGULAR]) == {workload.REGULAR: {}}
    engine.close()


@pytest.mark.parametrize("server", ["valkey"], indirect=True)
def test_users_cannot_read_other_keys(server: Guarded, admin: Redis) -> None:
    admin.set("{42}session", "of somebody else")
    for user in (WEB, WORKER):
        with Redis.from_url(server.url_of(user)) as client, pytest.raises(NoPermissionError):
            client.get("{42}session")
