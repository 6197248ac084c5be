"""``reactions.ops.doctor.environment``: a misspelt variable is named, its value is not shown."""

from __future__ import annotations

import pytest

from reactions.core.settings import Settings
from reactions.ops.doctor import State
from tests.ops.doctor.examining import findings


def test_a_variable_that_is_no_setting(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its value may be a URL with a password."""
    monkeypatch.setenv("reactions_batch_rows", "7")  # the case of a setting's name does not matter
    monkeypatch.setenv("REACTIONS_WEB_AUTHENTICATOR", "shop.auth:user_of")
    monkeypatch.setenv("REACTIONS_SPACE_COMMENT_HOT_RATE", "7")  # the settings check it
    monkeypatch.setenv("REACTIONS_REDIS_SERVICE_HOST", "10.0.0.7")
    monkeypatch.setenv("REACTIONS_REDIS_PORT_6379_TCP_ADDR", "10.0.0.7")
    assert findings(settings)["environment"].state is State.OK
    monkeypatch.setenv("REACTIONS_BATCH_ROW", "7")
    monkeypatch.setenv("REACTIONS_PORT", "s3cret")
    found = findings(settings)["environment"]
    assert found.state is State.WARNING
    assert "REACTIONS_BATCH_ROW, REACTIONS_PORT" in found.found
    assert "REACTIONS_BATCH_ROWS instead of REACTIONS_BATCH_ROW;" in found.remedy
    assert "s3cret" not in f"{found}"
