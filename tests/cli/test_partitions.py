"""``reactions partitions``: shows the number, changes it, and continues what was begun."""

from __future__ import annotations

import pytest

from reactions.core.settings import Settings
from reactions.postgres.repartition import Repartition
from tests.cli.running import in_process, last_line


@pytest.mark.slow
def test_it_shows_and_changes_the_number(own_database_url: str) -> None:
    url = own_database_url
    env = {"REACTIONS_DATABASE_URL": url}
    assert last_line(in_process("partitions", "--json", **env)) == {
        "partitions": 16,
        "following": None,
    }
    next(Repartition(Settings(database_url=url)).steps(2))
    begun = in_process("partitions", **env)
    assert "has 16 partitions\na change is under way; run: reactions partitions 2" in begun.stdout
    done = in_process("partitions", "2", **env)
    assert done.stderr.split() == ["indexed", "swapped", "dropped"]
    assert done.stdout == "the table reactions has 2 partitions\n"


def test_it_refuses_a_number_out_of_range() -> None:
    refused = in_process("partitions", "300")
    assert refused.returncode == 2
    assert "300 is not in the range 1<=x<=256" in refused.stderr
