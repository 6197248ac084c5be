"""Tests that share servers run in the same process."""

from __future__ import annotations

from pathlib import Path

from tests.support.scheduling import TOGETHER, group_of


def test_every_group_is_of_files_that_exist(project: Path) -> None:
    assert [name for name in TOGETHER if not (project / name).exists()] == []


def test_a_file_is_a_group_unless_it_shares_servers() -> None:
    assert group_of("tests/core/test_urls.py::test_a[1::2]") == "tests/core/test_urls.py"
    page = {group_of(f"tests/web/page/test_{name}.py::test") for name in ("app", "routes")}
    assert page == {"a stack with a page"}
