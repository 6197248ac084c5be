"""Large bodies are refused before they are in memory."""

from __future__ import annotations

from collections.abc import Iterator

import httpx

from tests.web.serving import check_problem

POST = 1042


def test_a_large_body_is_not_read(idle: httpx.Client) -> None:
    """With and without a Content-Length."""

    def endless() -> Iterator[bytes]:
        for _ in range(10):
            yield b" " * 1_000

    for content in (b" " * 5_000, endless()):
        answer = idle.put(f"/v1/posts/{POST}/reaction", content=content)
        assert "at most 4096 bytes" in check_problem(answer, 413, "too-large")
