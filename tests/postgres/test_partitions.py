"""How many partitions there may be, and what they are called."""

from __future__ import annotations

import pytest

from reactions.core.errors import InvalidArgument
from reactions.postgres.partitions import check_partitions, first_names, index_of


def test_a_number_may_be_a_text() -> None:
    assert [check_partitions(number) for number in (1, "16", 256)] == [1, 16, 256]


@pytest.mark.parametrize("number", [0, 257, -1, "many", "", 1.5])
def test_a_number_out_of_range_is_refused(number: object) -> None:
    with pytest.raises(InvalidArgument, match="partitions must be 1 to 256"):
        check_partitions(number)


def test_names_of_indexes_follow_those_of_partitions() -> None:
    names = [*first_names(101)[::100], "reactions_of32_07"]
    assert [index_of("ix", name) for name in names] == ["ix_00", "ix_100", "ix_of32_07"]
