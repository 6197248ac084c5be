"""Generates a trace with the shape of a burst."""

from __future__ import annotations

import random
from pathlib import Path

from reactions.core.constants import REMOVE
from reactions.core.settings import Settings
from reactions.demo.trace import HEADER

EVENTS = 50_000
"""The size of a generated trace, unless the caller wants another."""


def synthesize(path: Path, events: int, types: list[str], seed: int = 1) -> None:
    """Write a trace: posts of Zipf popularity; one event in twenty repeats, one removes.

    Args:
        path: the file to write.
        events: the number of events, 1 or more.
        types: the reaction types to choose from.
        seed: the same seed writes the same file.
    """
    chance = random.Random(seed)  # noqa: S311 - a workload, not a secret
    posts = max(1, min(5_000, events // 20))
    weights = [1 / rank for rank in range(1, posts + 1)]
    recent: list[tuple[int, int]] = []
    with path.open("w") as file:
        file.write(f"{HEADER}\n")
        for number, post in enumerate(chance.choices(range(1, posts + 1), weights, k=events)):
            user, kind = chance.randint(1, max(2, events // 2)), chance.choice(types)
            luck = chance.random()
            if recent and luck < 0.1:
                user, post = chance.choice(recent)
                kind = REMOVE if luck < 0.05 else kind
            recent.append((user, post))
            if len(recent) > 1_000:
                recent.pop(chance.randrange(1_000))
            file.write(f"{number},{user},{post},{kind}\n")


def trace_file(folder: Path, path: Path | None, events: int | None) -> Path:
    """Return the trace to replay: `path`, or a generated trace in `folder`."""
    if path is not None:
        return path
    target = folder / "synthetic.csv"
    synthesize(target, events or EVENTS, list(Settings.from_env().reaction_types))
    return target
