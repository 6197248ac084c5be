"""``reactions rising``: the posts that will soon be viral, the soonest first."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from reactions.redis.keys import default_keys as keys
from tests.cli.conftest import POST, VIRAL, Run, figures
from tests.support.engine import Engine


def test_rising_lists_the_soonest_first(filled: Engine, run: Run) -> None:
    assert "no post is rising" in run("rising").stdout
    with filled.database.engine.begin() as connection:
        connection.execute(text("UPDATE posts SET tier = 3 WHERE post_id IN (1042, 1143)"))
    now = int(filled.clock.now_us())
    filled.client.set(keys.post_rate(POST), f"1e-8|{now}|6", px=60_000)
    result = run("rising", "--json")
    first, second = figures(result)["rising"]
    assert (first["post_id"], first["reactions"]) == (str(POST), 6)
    assert first["threshold_in_s"] == pytest.approx(400, rel=0.2)
    assert (second["post_id"], second["threshold_in_s"]) == (str(VIRAL), None)
    assert re.search(r"1042 +6 +0\.01 +7 min", result.stdout)
