"""``reactions.demo.plain_path``: links to folders whose names a shell would change."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reactions.core.errors import StackError
from reactions.demo.plain_path import plain_path


@pytest.fixture
def awkward(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / 'it\'s "so" $HOME, `x`; ä'
    folder.mkdir()
    yield folder
    plain_path(folder).unlink()


def test_a_plain_path_stays_as_it_is(tmp_path: Path) -> None:
    assert plain_path(tmp_path) == tmp_path


def test_an_awkward_one_gets_a_link_that_is_the_same_each_time(awkward: Path) -> None:
    link = plain_path(awkward)
    assert link.resolve() == awkward
    assert " " not in str(link)
    assert plain_path(awkward) == link
    (awkward.parent / "an other").mkdir()
    other = plain_path(awkward.parent / "an other")
    assert other != link
    other.unlink()


def test_a_link_to_elsewhere_is_refused(awkward: Path, tmp_path: Path) -> None:
    link = plain_path(awkward)
    link.unlink()
    link.symlink_to(tmp_path)
    with pytest.raises(StackError, match="belongs to somebody else; choose a --state-dir"):
        plain_path(awkward)
    link.unlink()
