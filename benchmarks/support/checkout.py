"""Runs the library of any checkout of this repository, in processes of its own.

So a benchmark can measure two versions in the same minute. Only the public calls and commands of a
version are used: ``Reactions``, ``Settings``, ``reactions migrate``, ``celery -A reactions.tasks``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from reactions.core.settings import Settings

CHILD = Path(__file__).with_name("writer_child.py")
MIGRATE_S = 120.0


@dataclass(frozen=True, slots=True)
class Checkout:
    """A checkout: its root folder, and the name that tables show."""

    folder: Path
    name: str

    @property
    def python(self) -> str:
        """The Python of its own environment if it has one, else this Python."""
        own = self.folder / ".venv/bin/python"
        return str(own) if own.exists() else sys.executable

    def environment(self, settings: Settings) -> dict[str, str]:
        return {**os.environ, **settings.environment(), "PYTHONPATH": str(self.folder)}

    def migrate(self, settings: Settings) -> None:
        """Bring the database to the schema of this version.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        subprocess.run(  # noqa: S603 - a checkout that the caller named
            [self.python, "-m", "reactions", "migrate"],
            env=self.environment(settings),
            cwd=self.folder,
            check=True,
            timeout=MIGRATE_S,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


HERE = Checkout(Path(__file__).parents[2], "this version")


class Child:
    """A process that makes calls on command; ``writer_child.py`` describes the commands."""

    def __init__(self, checkout: Checkout, settings: Settings, contender: str) -> None:
        # -P: the folder of the script has modules with the names of the standard library.
        self._process = subprocess.Popen(  # noqa: S603 - as above
            [checkout.python, "-P", str(CHILD), contender],
            env=checkout.environment(settings),
            cwd=checkout.folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.receive()  # it is ready

    def send(self, order: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def receive(self) -> Any:  # noqa: ANN401 - the answer of the child
        """Wait for the answer to the last order.

        Raises:
            RuntimeError: the child died; its error is on standard error.
        """
        assert self._process.stdout is not None  # noqa: S101 - for the type checker
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"a writer died with status {self._process.wait()}")
        return json.loads(line)

    def ask(self, order: Mapping[str, Any]) -> Any:  # noqa: ANN401 - as above
        self.send(order)
        return self.receive()

    def close(self) -> None:
        """Let the child end: its input ends."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(60)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask_all(children: Sequence[Child], orders: Sequence[Mapping[str, Any]]) -> list[Any]:
    """Give each child its order, all at once, and wait for all answers."""
    for child, order in zip(children, orders, strict=True):
        child.send(order)
    return [child.receive() for child in children]
