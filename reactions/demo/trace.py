"""Event traces: CSV, plain or gzip, with the columns ts_seconds,user_id,item_id,type."""

from __future__ import annotations

import gzip
import random
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, NamedTuple

from reactions.core.constants import MAX_ID, REMOVE
from reactions.core.errors import TraceError
from reactions.core.type_names import TYPE_NAME

HEADER = "ts_seconds,user_id,item_id,type"
LONGEST = 10_000
"""Characters of a line that are read; a longer one is broken. Good ones have some 90."""

_NO_TEXT = re.compile("[\udc80-\udcff]")  # by which surrogateescape stands for a byte

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
        number = 1
        with _open(self.path) as file:
            try:
                # No field needs quoting, so a stray quote breaks its own line and no other.
                lines = _lines(file)
                if next(lines, ("", True))[0].strip() != HEADER:
                    raise TraceError(f"{self.path} does not begin with {HEADER}")
                for number, (line, whole) in enumerate(lines, start=2):
                    if read == self.limit:
                        return
                    event = self._event(line.rstrip("\r\n"), whole, number)
                    if event is not None:
                        read += 1
                        yield event
            except (OSError, EOFError, zlib.error) as error:
                raise TraceError(f"{self.path}, after line {number}: {error}") from error

    def _event(self, line: str, whole: bool, number: int) -> Event | None:
        try:
            return _parse(line, whole)
        except ValueError as error:
            self.broken_lines += 1
            if len(self.broken) < BROKEN_KEPT:
                self.broken.append(f"line {number}: {error}")
            return None

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


@contextmanager
def _open(path: Path) -> Iterator[IO[str]]:
    try:
        with path.open("rb") as raw:
            zipped = raw.read(2) == b"\x1f\x8b"
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {error.strerror}") from error
    # A byte that is no text is to break its own line and no other.
    text: Any = {"mode": "rt", "encoding": "utf-8-sig", "errors": "surrogateescape"}
    with gzip.open(path, **text) if zipped else path.open(**text) as file:
        yield file


def _lines(file: IO[str]) -> Iterator[tuple[str, bool]]:
    """Lines, and whether each is whole: of a longer one, only the beginning is kept."""
    while line := file.readline(LONGEST):
        whole = line.endswith("\n") or len(line) < LONGEST
        yield line, whole
        while not line.endswith("\n") and (line := file.readline(LONGEST)):
            pass


def _parse(line: str, whole: bool) -> Event:
    _, user, post, reaction = line.split(",", 4)
    event = Event(_id(user), _id(post), _reaction(reaction))
    if not whole:
        raise ValueError(f"has more than {LONGEST:,} characters")
    if _NO_TEXT.search(line):
        raise ValueError("has bytes that are no UTF-8")
    return event


def _reaction(text: str) -> str | None:
    if not TYPE_NAME.fullmatch(text):
        raise ValueError(f"type {text[:40]!r} is not 1 to 32 of A-Z a-z 0-9 _ + -")
    return None if text == REMOVE else text


def _id(text: str) -> int:
    # No id has more than 19 digits, and Python takes quadratic time over millions of them.
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else 0
    if not 1 <= number <= MAX_ID:
        raise ValueError(f"id {text[:40]!r} is not an integer from 1 to 2^63-1")
    return number
