"""``requirements-dev.lock`` has what ``pyproject.toml`` asks for, and no address of a registry."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOCK = (ROOT / "requirements-dev.lock").read_text("utf-8")
RENEW = "renew requirements-dev.lock, see CONTRIBUTING.md"


def wanted(lines: Iterable[str]) -> Iterator[Requirement]:
    """These requirements, and those of the project's own extras that they name."""
    project = PYPROJECT["project"]
    for requirement in map(Requirement, lines):
        if requirement.name != project["name"]:
            yield requirement
        for extra in requirement.extras if requirement.name == project["name"] else ():
            yield from wanted(project["optional-dependencies"][extra])


def test_the_lock_satisfies_every_requirement() -> None:
    locked = {
        canonicalize_name(line.name): line
        for line in map(Requirement, re.findall(r"^[a-z].*$", LOCK, re.MULTILINE))
    }
    own = [*PYPROJECT["project"]["dependencies"], "reactions[embedded]"]
    for requirement in wanted([*own, *PYPROJECT["dependency-groups"]["dev"]]):
        found = locked.get(canonicalize_name(requirement.name))
        assert found is not None, f"{requirement.name} is missing: {RENEW}"
        (pin,) = found.specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), f"{requirement}: {RENEW}"


def test_the_lock_names_no_address() -> None:
    pins = re.sub(r"#.*", "", LOCK)
    assert not re.findall(r"\w+://|--", pins)
    assert not re.findall(r"\w+://", LOCK)
