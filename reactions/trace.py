"""Event traces: CSV, plain or gzip, with the columns ts_seconds,user_id,item_id,type."""

from __future__ import annotations

import csv
import gzip
import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, NamedTuple

from reactions.errors import TraceError
from reactions.settings import MAX_ID, TYPE_NAME

COLUMNS = ("ts_seconds", "user_id", "item_id", "type")
REMOVE = "remove"
"""The type that takes a reaction away."""

BROKEN_KEPT = 20
"""How many broken lines are described; the rest is only counted."""


class Event(NamedTuple):
    """One line of a trace."""

    user_id: int
    post_id: int
    reaction: str | None


@dataclass(slots=True)
class Trace:
    """A file of events, read anew each time it is walked.

    Attributes:
        broken: ``line N: why`` of the first broken lines of the last walk; the walk goes on.
        broken_lines: how many there were.
    """

    path: Path
    limit: int | None = None
    broken: list[str] = field(default_factory=list)
    broken_lines: int = 0

    def __iter__(self) -> Iterator[Event]:
        self.broken, self.broken_lines = [], 0
        read = 0
        with _open(self.path) as file:
            lines = csv.reader(file)
            try:
                if tuple(next(lines, ())) != COLUMNS:
                    raise TraceError(f"{self.path} does not begin with {','.join(COLUMNS)}")
                for line in lines:
                    if read == self.limit:
                        return
                    event = self._event(line, lines.line_num)
                    if event is not None:
                        read += 1
                        yield event
            except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
                raise TraceError(f"{self.path}, line {lines.line_num}: {error}") from error

    def _event(self, line: list[str], number: int) -> Event | None:
        try:
            _, user, post, reaction = line
            event = Event(_id(user), _id(post), _reaction(reaction))
        except ValueError as error:
            self.broken_lines += 1
            if len(self.broken) < BROKEN_KEPT:
                self.broken.append(f"line {number}: {error}")
            return None
        return event

    def types(self) -> list[str]:
        """The reaction types of the trace, in the order of their first appearance."""
        return list(dict.fromkeys(e.reaction for e in self if e.reaction is not None))

    def outcome(self) -> dict[int, dict[int, str]]:
        """What must be the case in the end: post -> user -> type, removed reactions left out."""
        final: dict[int, dict[int, str]] = {}
        for user_id, post_id, reaction in self:
            if reaction is None:
                final.get(post_id, {}).pop(user_id, None)
            else:
                final.setdefault(post_id, {})[user_id] = reaction
        return final


def synthesize(path: Path, events: int, types: list[str], seed: int = 1) -> None:
    """Write a made-up trace: posts of Zipf popularity, one in twenty events repeats, one removes.

    Args:
        events: 1 or more.
        seed: the same seed writes the same file.
    """
    chance = random.Random(seed)  # noqa: S311 - a workload, not a secret
    posts = max(1, min(5_000, events // 20))
    weights = [1 / rank for rank in range(1, posts + 1)]
    recent: list[tuple[int, int]] = []
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(COLUMNS)
        for number, post in enumerate(chance.choices(range(1, posts + 1), weights, k=events)):
            user, kind = chance.randint(1, max(2, events // 2)), chance.choice(types)
            luck = chance.random()
            if recent and luck < 0.1:
                user, post = chance.choice(recent)
                kind = REMOVE if luck < 0.05 else kind
            recent.append((user, post))
            if len(recent) > 1_000:
                recent.pop(chance.randrange(1_000))
            out.writerow((number, user, post, kind))


def _open(path: Path) -> IO[str]:
    try:
        raw = path.open("rb")
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}") from error
    magic = raw.read(2)
    raw.seek(0)
    if magic == b"\x1f\x8b":
        return gzip.open(raw, "rt", encoding="utf-8", newline="")
    return io.TextIOWrapper(raw, "utf-8", newline="")


def _reaction(text: str) -> str | None:
    if not TYPE_NAME.fullmatch(text):
        raise ValueError(f"type {text[:40]!r} is not 1 to 32 of A-Z a-z 0-9 _ + -")
    return None if text == REMOVE else text


def _id(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) <= MAX_ID:
        raise ValueError(f"id {text[:40]!r} is not an integer from 1 to 2^63-1")
    return int(text)
