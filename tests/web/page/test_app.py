"""The page as it is served."""

from __future__ import annotations

import httpx

from reactions.demo.stack import Stack
from tests.support import http
from tests.support.waiting import wait_until


def test_the_page_runs_nothing_but_its_own_files(stack: Stack) -> None:
    page = http.get(stack.page_url)
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert " style=" not in page.text
    assert "http" not in page.text
    assert http.get(f"{stack.page_url}page.js").headers["X-Content-Type-Options"] == "nosniff"


def test_a_foreign_host_name_is_refused(stack: Stack) -> None:
    for path in ("", "room", "v1/summaries?post_id=1"):
        answer = http.get(stack.page_url + path, headers={"Host": "elsewhere.example"})
        assert answer.status_code == 400


def test_a_dead_page_is_started_again(stack: Stack) -> None:
    assert stack.page is not None
    before = stack.page.pid
    stack.page.kill()
    stack.supervise()
    assert stack.page.pid != before

    def serves() -> bool:
        try:
            return http.get(stack.page_url).status_code == 200
        except httpx.TransportError:
            return False

    wait_until(serves, what="the page serves again")
