"""The endpoints of the engine room."""

from __future__ import annotations

import pytest

from reactions.demo.stack import Stack
from tests.support import http
from tests.web.serving import check_problem


@pytest.mark.parametrize("path", ["room/burst", "room/kill"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_only_the_page_itself_may_use_the_buttons(
    stack: Stack, path: str, headers: dict[str, str]
) -> None:
    refused = http.post(stack.page_url + path, headers=headers)
    check_problem(refused, 403, "foreign-page")


def test_the_engine_room_is_not_part_of_the_service(stack: Stack, address: str) -> None:
    for path in ("/", "/room", "/page.js"):
        assert http.get(address + path).status_code == 404
    assert http.post(f"{address}/room/kill").status_code == 404
    described = http.get(f"{stack.page_url}openapi.json").json()["paths"]
    assert not [path for path in described if path.startswith("/room")]
