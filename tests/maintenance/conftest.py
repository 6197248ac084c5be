"""Engines with the settings that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from reactions.maintenance import erase
from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from tests.maintenance.damage import COLD, DELETED, REGULAR, VIRAL
from tests.maintenance.erasing import BATCH
from tests.support.engine import Engine, make_engine
from tests.support.reading import shrink


@pytest.fixture
def sound(engine: Engine) -> Iterator[Engine]:
    """A regular post with its hash, a viral one with its sample, a cold one, a deleted one."""
    small = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    client = small.reactions
    for post, users in ((REGULAR, 6), (VIRAL, 12), (COLD, 3), (DELETED, 3)):
        client.react_many((user, post, ("like", "love")[user % 2]) for user in range(1, users + 1))
    client.unreact(6, REGULAR)
    small.drain()
    assert small.loader.load([REGULAR, VIRAL]) == 2
    client.summaries([REGULAR, VIRAL, COLD], 1)
    client.delete_post(DELETED)
    while any(small.erasure_requests.unfinished()):
        small.eraser.erase()
    yield small
    small.close()


@pytest.fixture
def small_batches(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Batches and pages of seven rows, viral from 15 reactions on, samples of 5, buckets of 4."""
    shrink(monkeypatch, 5, 4, 8)
    monkeypatch.setattr(erase, "PAGE", BATCH)
    update = {"viral_threshold": 15, "batch_rows": BATCH}
    made = make_engine(engine.settings.model_copy(update=update))
    yield made
    made.close()


@pytest.fixture
def viral_at_ten(engine: Engine) -> Iterator[Engine]:
    made = make_engine(engine.settings.model_copy(update={"viral_threshold": 10}))
    yield made
    made.close()


@pytest.fixture
def loss_detection(viral_at_ten: Engine) -> LossDetection:
    return LossDetection(viral_at_ten.client, viral_at_ten.database, viral_at_ten.settings)


@pytest.fixture
def rebuild(viral_at_ten: Engine) -> Rebuild:
    return Rebuild(viral_at_ten.client, viral_at_ten.database, viral_at_ten.settings)
