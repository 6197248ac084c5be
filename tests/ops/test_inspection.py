"""``reactions.ops.inspection``: every kind of post."""

from __future__ import annotations

from reactions.core.model import PostTier
from reactions.maintenance.reconcile import Reconcile
from reactions.ops.inspection import Inspector
from tests.support.engine import Engine
from tests.support.reading import react
from tests.support.waiting import patience

POST, NOBODYS = 1042, 99


def test_every_kind_of_post(engine: Engine) -> None:
    react(engine, POST, range(1, 7))
    engine.drain()
    engine.loader.load([POST])
    inspector = Inspector(engine.client, engine.database, engine.settings)
    assert inspector.inspect(POST).cached == "hash of 6 users"
    assert inspector.inspect(POST).checked_s_ago is None
    Reconcile(engine.client, engine.database, engine.settings).run(PostTier.HOT)  # six together
    for ago in (inspector.inspect(POST).checked_s_ago, inspector.inspect(POST).touched_s_ago):
        assert ago is not None
        assert 0 <= ago < patience(60)
    nobodys = inspector.inspect(NOBODYS)
    assert (nobodys.tier, nobodys.noted_tier, nobodys.keys) == ("regular", None, [])
    assert (nobodys.lag_s, nobodys.touched_s_ago) == (None, None)
    engine.reactions.delete_post(POST)
    assert inspector.inspect(POST).tier == "deleted"
