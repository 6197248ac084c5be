"""``reactions.cli.console``: an error of the library becomes one line and exit code 2."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import reactions

pytestmark = pytest.mark.slow


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
