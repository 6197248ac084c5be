"""The built wheel, installed elsewhere: it needs nothing of the checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.conftest import Engine


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
        "reactions/_root/celeryconfig.py",
        "reactions/_root/alembic/env.py",
        "reactions/_root/alembic/versions/0001_reactions.py",
    ):
        assert wanted in names
    assert not [name for name in names if name.startswith(("tests/", "alembic/"))]


def test_the_wheel_works_without_the_checkout(wheel: Path, tmp_path: Path, engine: Engine) -> None:
    """A virtual environment of its own, with the dependencies of this one."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "v")], check=True)
    python = tmp_path / "v" / "bin" / "python"
    site = next((tmp_path / "v" / "lib").glob("python*/site-packages"))
    zipfile.ZipFile(wheel).extractall(site)
    # A .pth line adds the folder without the editable install that is in it.
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"])
    program = """
import reactions, reactions.tasks
from reactions.migrate import at_head, migrate
from reactions.settings import Settings
print(reactions.__file__)
settings = Settings.from_env()
migrate(settings)
assert at_head(settings)
assert reactions.react(1, 1042, "like").status == "accepted"
reactions.tasks.app.tasks["reactions.drain"].run(shards=[42])
assert reactions.counts(1042)["like"] == 1
assert reactions.tasks.app.conf.task_acks_late
"""
    environment = {**os.environ, **engine.settings.environment(), "PYTHONPATH": ""}
    result = subprocess.run(
        [str(python), "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(str(site))
    assert engine.ledger.counts([1042])[1042] == {1: 1}
