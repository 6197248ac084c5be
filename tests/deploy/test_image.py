"""Checks ``Dockerfile`` and ``.dockerignore`` without a Docker engine."""

from __future__ import annotations

import re
import tomllib

from tests.deploy.compose import PINNED, ROOT


def dockerfile(instruction: str) -> list[str]:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    return re.findall(rf"^{instruction} (.*)$", text, re.MULTILINE)


def test_the_image_is_pinned_and_not_root() -> None:
    bases = {base.removesuffix(" AS build") for base in dockerfile("FROM")}
    assert len(bases) == 1
    assert PINNED.fullmatch(bases.pop())
    assert int(dockerfile("USER")[-1]) > 0


def test_the_image_installs_extras_that_exist() -> None:
    """pip only warns about an unknown extra, and the image would then lack Flower."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    (extras,) = re.findall(r'pip install .*"\.\[(.*)\]"', (ROOT / "Dockerfile").read_text("utf-8"))
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def test_the_builder_sees_what_the_wheel_needs_and_no_secret() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    needed = {
        "pyproject.toml",
        project["project"]["readme"],
        *project["project"]["license-files"],
        *wheel["packages"],
        *wheel["force-include"],
    }
    lines = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*"
    assert {rule[1:] for rule in rules if rule.startswith("!")} == needed
