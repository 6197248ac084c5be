"""``reactions.cli.console``: an error of the library becomes one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from reactions.cli.main import main
from tests.cli.running import reactions
from tests.support.engine import Engine


def test_an_error_of_the_library_is_one_line(tmp_path: Path) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("no,header\n")
    result = reactions("demo", "--trace", str(bad))
    assert (result.returncode, "does not begin with" in result.stderr) == (2, True)
    result = reactions("verify", REACTIONS_LEASE_S="soon")
    assert (result.returncode, "lease_s" in result.stderr) == (2, True)
    result = reactions(
        "verify",
        REACTIONS_REDIS_URL="redis://127.0.0.1:1",
        REACTIONS_DATABASE_URL="postgresql://127.0.0.1:1/x",
    )
    assert (result.returncode, "cannot serve" in result.stderr) == (2, True)
    assert "Traceback" not in result.stderr


def test_an_unreachable_store_is_named(filled: Engine) -> None:
    nowhere = {**filled.settings.environment(), "REACTIONS_REDIS_URL": "redis://127.0.0.1:1/0"}
    for command in (["inspect", "1"], ["rebuild"], ["rising"], ["metrics", "--once"]):
        result = CliRunner().invoke(main, command, env=nowhere)
        assert result.exit_code != 0
        assert "Redis" in result.stderr or "Redis" in str(result.exception)
