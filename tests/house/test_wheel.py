"""The wheel works when it is installed elsewhere, without the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.support.engine import Engine

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory, project: Path) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."],
        cwd=project,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_carries_scripts_migrations_and_the_typed_marker(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    for wanted in (
        "reactions/py.typed",
        "reactions/lua/react.lua",
        "reactions/lua/include/lease.lua",
        "reactions/web/static/index.html",
        "reactions_command.py",
        "reactions/_root/celeryconfig.py",
        "reactions/_root/alembic/env.py",
        "reactions/_root/alembic/versions/0001_reactions.py",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "alembic/"))]


PROGRAM = """
import time
import reactions, reactions.tasks
from reactions.postgres.migrate import at_head, migrate
from reactions.core.settings import Settings
print(reactions.__file__)
settings = Settings.from_env()
migrate(settings)
assert at_head(settings)
with reactions.Reactions(settings) as client:
    assert client.react(1, 1042, "like").status == "accepted"
    end = time.monotonic() + 60  # close() gives a slow machine only one second
    while not client.relay_stats().published and time.monotonic() < end:
        time.sleep(0.05)
assert client.relay_stats().published == 1, "a plain install can publish"
with reactions.Reactions(settings) as client:
    reactions.tasks.app.tasks["reactions.drain"].run(shards=[42])
    assert client.counts(1042)["like"] == 1
assert reactions.tasks.app.conf.task_acks_late
"""


def test_a_plain_install_of_the_wheel_works_without_the_checkout(
    wheel: Path, tmp_path: Path, engine: Engine
) -> None:
    """The environment has only what the wheel requires, not even pip."""
    folder = tmp_path / "v"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install"]
    subprocess.run([*pip, "--quiet", "--no-compile", str(wheel)], check=True)
    settings = engine.settings.model_copy(update={"broker_url": engine.settings.redis_url})
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run(
        [folder / "bin" / "python", "-c", PROGRAM],
        cwd=tmp_path,
        env={**environ, **settings.environment()},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(folder))
    assert engine.queries.counts([1042])[1042] == {1: 1}
    command = [str(folder / "bin" / "reactions"), "--version"]
    shown = subprocess.run(command, cwd=tmp_path, env=environ, check=True, capture_output=True)
    assert shown.stdout
    for name in ("demo", "up"):
        refused = subprocess.run(
            [command[0], name],
            cwd=tmp_path,
            env=environ,
            check=False,
            capture_output=True,
            text=True,
        )
        assert refused.returncode == 2
        assert "pip install 'reactions[embedded]'" in refused.stderr
        assert "Traceback" not in refused.stderr
