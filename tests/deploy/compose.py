"""Reads ``compose.yaml`` and ``.env.example``."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"(?<!\$)\$(?:\{(?P<braced>[^}]*)\}|(?P<bare>\w+))")
PINNED = re.compile(r"[a-z/]+:\d+\.\d+(-[a-z]+)*")

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "compose.yaml").read_text("utf-8")
COMPOSE: Mapping[str, Any] = yaml.safe_load(TEXT)
SERVICES: Mapping[str, Mapping[str, Any]] = COMPOSE["services"]


def strings(node: object) -> Iterator[str]:
    if isinstance(node, str):
        yield node
    elif isinstance(node, Mapping):
        for child in node.values():
            yield from strings(child)
    elif isinstance(node, list):
        for child in node:
            yield from strings(child)


def example() -> dict[str, str]:
    """The variables that .env.example asks for."""
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if re.match(r"\w+=", line))


def filled(text: str) -> str:
    """The text with each variable replaced by its name."""
    return VARIABLE.sub(lambda found: found["braced"].partition(":")[0], text)


def environment(name: str) -> dict[str, str]:
    """The variables that the file sets for a service, without those that it only passes on."""
    given = SERVICES[name].get("environment", {})
    return {key: filled(value) for key, value in given.items() if value is not None}


def server_options(name: str) -> dict[str, str]:
    program, *words = SERVICES[name]["command"]
    assert program == "valkey-server"
    assert all(word.startswith("--") for word in words[::2])
    return dict(zip((word[2:] for word in words[::2]), words[1::2], strict=True))


def seconds(duration: str) -> int:
    assert duration.endswith("s")
    return int(duration.removesuffix("s"))
