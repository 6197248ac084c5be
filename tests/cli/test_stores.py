"""``reactions.cli.stores``: an error names the store that does not answer."""

from __future__ import annotations

import pytest
from click.testing import CliRunner
from sqlalchemy import text

from reactions.cli.main import main
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine


def test_an_unreachable_store_is_named(filled: Engine) -> None:
    nowhere = {**filled.settings.environment(), "REACTIONS_REDIS_URL": "redis://127.0.0.1:1/0"}
    for command in (["inspect", "1"], ["rebuild"], ["rising"], ["metrics", "--once"]):
        result = CliRunner().invoke(main, command, env=nowhere)
        assert result.exit_code != 0
        assert "Redis" in result.stderr or "Redis" in str(result.exception)


@pytest.mark.parametrize("store", ["redis", "postgresql"])
def test_a_command_refuses_a_layout_that_it_does_not_know(engine: Engine, store: str) -> None:
    if store == "redis":
        engine.client.set(keys.outbox_layout(), "9|9")
    else:
        with engine.database.engine.begin() as connection:
            connection.execute(text("UPDATE alembic_version SET version_num = '9998'"))
            connection.execute(text("COMMENT ON TABLE alembic_version IS 'oldest=9997'"))
    result = CliRunner().invoke(main, ["rising"], env=engine.settings.environment())
    assert result.exit_code == 2
    assert "install the version of reactions that ran `reactions migrate` last" in result.stderr
