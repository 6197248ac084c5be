"""``reactions.cli.options``: a value outside of its range is refused."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("post", ["0", "-1", "x", str(2**63)])
def test_an_invalid_id_is_refused(run: Run, post: str) -> None:
    for command in (["inspect", "--", post], ["rebuild", f"--post={post}"]):
        result = run(*command)
        assert result.exit_code == 2
        assert "Invalid value" in result.stderr
