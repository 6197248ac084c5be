"""``reactions.cli.stores``: an error names the store that does not answer."""

from __future__ import annotations

from click.testing import CliRunner

from reactions.cli.main import main
from tests.support.engine import Engine


def test_an_unreachable_store_is_named(filled: Engine) -> None:
    nowhere = {**filled.settings.environment(), "REACTIONS_REDIS_URL": "redis://127.0.0.1:1/0"}
    for command in (["inspect", "1"], ["rebuild"], ["rising"], ["metrics", "--once"]):
        result = CliRunner().invoke(main, command, env=nowhere)
        assert result.exit_code != 0
        assert "Redis" in result.stderr or "Redis" in str(result.exception)
