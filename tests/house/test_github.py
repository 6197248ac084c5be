"""The files that GitHub and pre-commit read are valid, and match the project."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
RELEASE = GITHUB / "workflows/release.yml"

SCHEMAS = {
    "vendor.github-workflows": "workflows/*.yml",
    "vendor.github-issue-forms": "ISSUE_TEMPLATE/[!c]*.yml",
    "vendor.github-issue-config": "ISSUE_TEMPLATE/config.yml",
}
"""Schema that check-jsonschema carries -> the files below .github that it describes."""


def steps(job: str) -> list[dict[str, Any]]:
    workflow = yaml.safe_load(RELEASE.read_text("utf-8"))
    found: list[dict[str, Any]] = workflow["jobs"][job]["steps"]
    return found


@pytest.mark.parametrize("schema", SCHEMAS)
def test_each_file_follows_the_schema_of_github(schema: str) -> None:
    files = sorted(GITHUB.glob(SCHEMAS[schema]))
    assert files
    command = [sys.executable, "-m", "check_jsonschema", "--color", "never"]
    command += ["--builtin-schema", schema, *map(str, files)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_yaml_file_below_github_has_a_schema() -> None:
    checked = {path for pattern in SCHEMAS.values() for path in GITHUB.glob(pattern)}
    assert set(GITHUB.rglob("*.yml")) == checked


def test_the_release_is_built_on_the_oldest_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (version,) = (s["with"]["python-version"] for s in steps("build") if "setup-python" in str(s))
    assert project["requires-python"] == f">={version}"


def test_only_the_job_that_publishes_may_ask_for_a_token() -> None:
    workflow = yaml.safe_load(RELEASE.read_text("utf-8"))
    assert workflow["permissions"] == {"contents": "read"}
    assert "permissions" not in workflow["jobs"]["build"]
    assert workflow["jobs"]["publish"]["permissions"] == {"id-token": "write"}
    assert not [step for step in steps("publish") if "run" in step]


def test_the_hooks_call_the_tools_of_the_project() -> None:
    """No hook is downloaded, and each runs a program that `make setup` installs."""
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text("utf-8"))
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system"
        folder, program = hook["entry"].split()[0].rsplit("/", 1)
        assert folder == ".venv/bin"
        assert (Path(sys.executable).parent / program).exists()
