"""The metrics of a process: none without the extra, each event once, also after a fork."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector
from pydantic import SecretStr

from reactions.api.client import Reactions
from reactions.core.errors import BatchInterrupted, NotReplicated, PostDeleted, ReactionsUnavailable
from reactions.core.instruments import OUTCOMES, REACT, TIMINGS
from reactions.core.model import Status
from reactions.core.settings import Settings
from tests.support.engine import DEAD_BROKER, Engine
from tests.support.waiting import patience

WITHOUT = """
import sys
sys.modules["prometheus_client"] = None
import reactions
from reactions.core import instruments
assert instruments.TIMINGS is None
assert reactions.react(1, 1042, "like").status == "accepted"
assert reactions.summaries([1042], user_id=1)[0].reaction == "like"
"""

FORKS = """
import os
from tests.support.waiting import patience
from reactions.api.default import default_client, react
react(1, 1042, "like")  # starts the thread that folds
children = []
for number in range(8):
    child = os.fork()
    if not child:
        for user in range(100):
            react(1 + user, 1042 + number, "love")
        default_client().close()
        os._exit(0)
    children.append(child)
for child in children:
    assert os.waitpid(child, 0)[1] == 0
"""


def run(code: str, settings: Settings, **env: str) -> None:
    environment = {**os.environ, **settings.environment(), **env}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=patience(120))


def counted() -> dict[str, float]:
    """Outcomes that this process has counted so far."""
    assert TIMINGS is not None
    TIMINGS.fold()
    (family,) = OUTCOMES.collect()
    return {s.labels["outcome"]: s.value for s in family.samples if s.name.endswith("_total")}


def timed() -> float:
    (family,) = REACT.collect()
    (count,) = (s.value for s in family.samples if s.name.endswith("_count"))
    return float(count)


def test_without_the_extra_everything_works(settings: Settings) -> None:
    run(WITHOUT, settings)


def test_each_fork_counts_its_own_events(settings: Settings, tmp_path: Path) -> None:
    folder = tmp_path / "made by itself"
    run(FORKS, settings, PROMETHEUS_MULTIPROC_DIR=str(folder))
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=str(folder))  # type: ignore[no-untyped-call]
    values = [
        sample.value
        for family in registry.collect()
        if family.name == "reactions_outcomes"
        for sample in family.samples
        if sample.name == "reactions_outcomes_total"
    ]
    assert sum(values) == 801
    assert registry.get_sample_value("reactions_react_seconds_count") == 801


def test_every_outcome_is_counted(engine: Engine) -> None:
    before, calls = counted(), timed()
    client = engine.reactions
    client.react(1, 1042, "like")
    client.react(1, 1042, "love")
    client.unreact(1, 1042)
    client.delete_post(7)
    with pytest.raises(PostDeleted):
        client.react(1, 7, "like")
    with pytest.raises(PostDeleted):
        client.react_many([(1, 7, "like"), (2, 1042, "like"), (3, 1042, None)])
    with pytest.raises(NotReplicated):
        client.react(4, 1042, "like", replicas=1)
    gone = engine.settings.model_copy(update={"redis_url": SecretStr(DEAD_BROKER)})
    with Reactions(gone) as nobody, pytest.raises((ReactionsUnavailable, BatchInterrupted)):
        nobody.react(1, 1042, "like")
    grown = {name: number - before.get(name, 0) for name, number in counted().items()}
    assert sum(grown.values()) == 9
    assert grown.keys() == before.keys() >= set(Status)  # a series exists before its event
    assert (grown["deleted"], grown["not_replicated"], grown["unavailable"]) == (2, 1, 1)
    assert (grown["replaced"], grown["removed"]) == (1, 1)
    assert timed() - calls == 6
