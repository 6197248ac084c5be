"""An older version and this one on the same stores, as in a rolling upgrade (docs/upgrades.md).

The older one is the last release, or before the first release a commit of the same layout. Both
write, both drain, either takes over what the other left, and both verify.
"""

from __future__ import annotations

import io
import json
import os
import random
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery.contrib.testing.worker import start_worker
from pydantic import SecretStr

from reactions.core.settings import Settings
from tests.support.engine import Engine
from tests.support.waiting import wait_until
from tests.system.other_version import Version
from tests.tasks.lane import import_tasks

pytestmark = pytest.mark.slow

BEFORE_THE_FIRST_RELEASE = "7af7ee66396fc51c7b6d9410040321bf57032f06"
"""The commit that stands for a release: the oldest one on the main line that has migration 0011."""

DRIVER = Path(__file__).with_name("other_version.py")
POSTS = (1042, 2042, 7)  # two share a shard
USERS = range(1, 15)  # enough for the viral tier, which begins at ten here
STEPS = 250


class Older:
    """The process of the older version. Its methods are those of ``Version``."""

    def __init__(self, tree: Path, settings: Settings, log: Path) -> None:
        env = {**os.environ, **settings.environment(), "PYTHONPATH": str(tree)}
        self._log = log.open("w")
        self._process = subprocess.Popen(
            [sys.executable, str(DRIVER)],
            cwd=tree,
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: object) -> Any:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps([name, *arguments]) + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
            assert answer, f"{name} failed: {Path(self._log.name).read_text()[-2000:]}"
            return json.loads(answer)

        return call

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        self._log.close()


def git(project: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["git", *arguments], cwd=project, capture_output=True, check=False)


@pytest.fixture(scope="module")
def older_tree(project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the older version."""
    if not (project / ".git").exists():
        pytest.skip("there is no git history, so no older version can be built")
    tagged = git(project, "describe", "--tags", "--abbrev=0", "--match", "v*", "HEAD^")
    commit = tagged.stdout.decode().strip() or BEFORE_THE_FIRST_RELEASE
    if git(project, "cat-file", "-e", commit).returncode != 0:
        pytest.skip(f"the git history lacks {commit[:9]}; run: git fetch --unshallow --tags")
    archive = git(project, "archive", commit, "reactions", "alembic", "celeryconfig.py")
    assert archive.returncode == 0, archive.stderr
    tree = tmp_path_factory.mktemp("older")
    with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
        files.extractall(tree, filter="data")
    return tree


@pytest.fixture
def settings(settings: Settings, redis_url: str) -> Settings:
    """With a broker on which nobody works unless the test says so, and tiers that are soon left."""
    broker = SecretStr(redis_url.removesuffix("/0") + "/1")
    return settings.model_copy(update={"broker_url": broker, "viral_threshold": 10})


@pytest.fixture
def older(older_tree: Path, settings: Settings, tmp_path: Path) -> Iterator[Older]:
    process = Older(older_tree, settings, tmp_path / "older.log")
    yield process
    process.close()


def test_two_versions_share_the_stores(older_tree: Path, older: Older, engine: Engine) -> None:
    """Each read sees what was written by whichever version, in any order of drains and deaths."""
    assert older.where() == str(older_tree / "reactions" / "__init__.py")
    newer = Version(engine.settings)
    chosen = random.Random(20)  # noqa: S311 - a test that repeats
    model: dict[tuple[int, int], str] = {}
    for _ in range(STEPS):
        version: Any = chosen.choice([older, newer])
        user, post = chosen.choice(USERS), chosen.choice(POSTS)
        step = chosen.random()
        if step < 0.6:
            reaction = chosen.choice(["like", "love", "wow", None])
            version.react(user, post, reaction)
            model.pop((user, post), None)
            if reaction:
                model[user, post] = reaction
        elif step < 0.75:
            assert version.feed(user, POSTS) == [model.get((user, each)) for each in POSTS]
        elif step < 0.97:
            version.drain()
        else:
            version.die_draining()  # the other takes over when the lease has lapsed
    for writer, drainer, fresh in ((older, newer, 8), (newer, older, 9)):
        writer.react(1, fresh, "wow")
        drain_all(drainer, engine)
        for post in POSTS:
            given = Counter(reaction for (_, where), reaction in model.items() if where == post)
            assert drainer.counts(post) == given
        assert drainer.verify()


def drain_all(version: Any, engine: Engine) -> None:
    """Let one version alone drain everything, also claims whose lease must lapse first."""

    def drained() -> bool:
        version.drain()
        return engine.outbox_state.pending() == 0

    wait_until(drained, what="one version drains what the other wrote")


def test_each_version_answers_the_messages_of_the_other(older: Older, engine: Engine) -> None:
    durable = lambda: engine.outbox_state.pending() == 0  # noqa: E731
    older.start_worker()
    for user in USERS:
        engine.reactions.react(user, POSTS[0], "like")
    wait_until(durable, what="the older worker drains what the newer version wrote")
    older.stop_worker()
    app = import_tasks(engine.settings).celery
    # At the level that the root logger has anyway, so that later tests see warnings.
    with start_worker(app, pool="solo", perform_ping_check=False, loglevel="WARNING"):
        for user in USERS:
            older.react(user, POSTS[0], "love")
        wait_until(durable, what="the newer worker drains what the older version wrote")
    assert engine.queries.reactions([POSTS[0]]) == {POSTS[0]: dict.fromkeys(USERS, 2)}
    assert older.verify()
    assert engine.verify().holds
