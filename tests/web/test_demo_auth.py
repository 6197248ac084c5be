"""The demo's authenticator."""

from __future__ import annotations

import sys

import pytest

from reactions.core.settings import Settings
from reactions.web.auth import load
from reactions.web.demo_auth import COOKIE
from tests.support import http
from tests.web.serving import get, put, user

POST = 1042


def test_the_cookie_and_the_header(address: str) -> None:
    with http.Client(base_url=address, cookies={COOKIE: "9"}) as carol:
        put(carol, "sad")
    with user(address, 9) as same:
        assert get(same, "/v1/summaries", post_id=POST)["items"][0]["reaction"] == "sad"


def test_the_demo_authenticator_logs_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    sys.modules.pop("reactions.web.demo_auth")
    load(Settings(web_authenticator="reactions.web.demo_auth:chosen_user"))
    assert "believes everyone" in caplog.text
