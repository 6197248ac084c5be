"""The setting of origins takes what browsers send, and nothing else."""

from __future__ import annotations

import pytest

from reactions.core.errors import InvalidSettings
from reactions.core.settings import Settings

GOOD = ("https://shop.example", "http://127.0.0.1:8080", "http://[::1]:8043", "capacitor://app")
BAD = (
    "*",
    "null",
    "shop.example",
    "https://shop.example/",
    "https://shop.example/page",
    "https://Shop.example",
    "https://*.shop.example",
    "https://shop.example:443",
    "http://shop.example:80",
    "https://u:pw@shop.example",
    "https://shop.example\n",
    "https://",
)


def test_it_is_a_list_with_commas() -> None:
    given = Settings.model_validate({"web_origins": f" {GOOD[0]} , {GOOD[1]}"})
    assert given.web_origins == GOOD[:2]
    assert Settings(web_origins=GOOD).web_origins == GOOD
    for nothing in ("", " ", ()):
        assert Settings.model_validate({"web_origins": nothing}).web_origins == ()


def test_another_process_gets_the_same() -> None:
    assert Settings(web_origins=GOOD).environment()["REACTIONS_WEB_ORIGINS"] == ",".join(GOOD)


@pytest.mark.parametrize("origin", BAD)
def test_what_no_browser_sends_is_refused(origin: str) -> None:
    with pytest.raises(InvalidSettings, match=r"web_origins: .*write scheme://host"):
        Settings(web_origins=(GOOD[0], origin))
