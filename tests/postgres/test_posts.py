"""The walk over posts, on every supported PostgreSQL."""

from __future__ import annotations

import pytest

from reactions.core.model import Row
from reactions.demo.embedded import Postgres
from reactions.postgres.database import Database
from reactions.postgres.ledger import Ledger
from reactions.postgres.posts import Posts


@pytest.fixture(scope="module")
def postgres(each_postgres: Postgres) -> Postgres:
    return each_postgres


def test_the_pages_contain_every_post_once(database: Database) -> None:
    wanted = list(range(1, 60))
    Ledger(database).record([Row(post, user, 1, 1) for post in wanted for user in (1, 2)])
    seen: list[int] = []
    while chunk := Posts(database).page(seen[-1] if seen else 0, 7):
        seen += chunk
    assert seen == wanted
