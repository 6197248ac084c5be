"""Fixtures of the commands: signals as a terminal has them, and stores with two posts."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import CliRunner, Result

from reactions.cli.main import main
from tests.support.engine import Engine, make_engine
from tests.support.reading import react

POST, VIRAL, NOBODYS = 1042, 1143, 99
"""A regular post with six reactions, a viral one with fifteen, and one without any."""

Run = Callable[..., Result]


@pytest.fixture(autouse=True, scope="module")
def _signals() -> Iterator[None]:
    """Undo what a shell does that runs the tests in the background: it ignores these signals."""
    ignored = [n for n in (signal.SIGINT, signal.SIGHUP) if signal.getsignal(n) is signal.SIG_IGN]
    for number in ignored:
        signal.signal(number, signal.SIG_DFL)
    yield
    for number in ignored:
        signal.signal(number, signal.SIG_IGN)


@pytest.fixture
def filled(engine: Engine) -> Iterator[Engine]:
    """Posts are viral from ten reactions on; POST and VIRAL are durable and cached."""
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    react(made, POST, range(1, 7))
    react(made, VIRAL, range(1, 16), "love")
    made.drain()
    made.loader.load([POST, VIRAL])
    yield made
    made.close()


@pytest.fixture
def run(filled: Engine) -> Run:
    """Run a command in this process, on the stores of ``filled``."""

    def invoke(*arguments: str) -> Result:
        return CliRunner().invoke(main, list(arguments), env=filled.settings.environment())

    return invoke


def figures(result: Result) -> Any:
    """The JSON object that a command with ``--json`` printed."""
    return json.loads(result.stdout.splitlines()[-1])
