"""capacity.py: the sums, the bounds of a load, and where the design ends."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reactions.core.errors import InvalidArgument
from reactions.ops.capacity import (
    BUILT_IN,
    Load,
    UnitCosts,
    busiest_share,
    estimate,
    visited,
)

COSTS = replace(
    UnitCosts(**{field.name: 0.0 for field in fields(UnitCosts)}),
    web_us_per_reaction=50,
    web_us_per_feed=100,
    redis_us_per_reaction=100,
    redis_us_per_feed=50,
    redis_us_per_feed_cluster=10,
    redis_us_per_feed_node=40,
    worker_us_per_reaction=20,
    postgres_us_per_reaction=30,
    postgres_us_per_first_feed=400,
    redis_bytes_per_post=500,
    redis_bytes_per_reaction=10,
    postgres_bytes_per_reaction=200,
    wal_bytes_per_reaction=500,
    network_bytes_per_reaction=1_000,
    network_bytes_per_feed=2_000,
    feed_posts=20,
)


def test_one_node_serves_a_small_load() -> None:
    fleet = estimate(Load(1_000, 2_000, posts=1e6, cached_reactions=1e8, rows=1e9), COSTS)
    parts = fleet.parts
    assert parts["web"].cores == pytest.approx(0.25)
    assert parts["redis"].cores == pytest.approx(0.2)
    assert (parts["redis"].nodes, parts["web"].nodes) == (1, 1)
    assert parts["redis"].memory_gb == pytest.approx(1.5)
    assert parts["redis"].network_mbit == pytest.approx(8 * (1 + 4))
    assert parts["workers"].cores == pytest.approx(0.02)
    assert parts["postgresql"].cores == pytest.approx(0.03 + 2_000 * 0.05 * 400e-6)
    assert parts["postgresql"].disk_gb == pytest.approx(200)
    assert parts["postgresql"].disk_gb_per_day == pytest.approx(1_000 * 86_400 * 200 / 1e9)
    assert fleet.limits == ()


def test_the_busiest_node_decides_how_many_there_are() -> None:
    """Reactions alone: 0.7 cores of Redis. Of three nodes, the busiest has 36 of 100 shards."""
    fleet = estimate(Load(7_000, 0, hottest=0), COSTS)
    assert fleet.parts["redis"].nodes == 2
    fleet = estimate(Load(16_000, 0, hottest=0), COSTS)
    assert fleet.parts["redis"].nodes == 3
    assert busiest_share(3) * fleet.parts["redis"].cores <= 0.6
    assert estimate(Load(1, 1, cached_reactions=1e10), COSTS).parts["redis"].nodes == 4


@pytest.mark.parametrize(("nodes", "shards"), [(1, 100), (3, 36), (10, 16), (20, 9), (50, 6)])
def test_shards_are_spread_as_the_slots_of_their_names(nodes: int, shards: int) -> None:
    assert busiest_share(nodes) * 100 == pytest.approx(shards)


@pytest.mark.parametrize(("nodes", "shards"), [(1, 100), (3, 34), (10, 10), (50, 2), (100, 1)])
def test_even_ranges_leave_no_node_with_more(nodes: int, shards: int) -> None:
    assert busiest_share(nodes, even=True) * 100 == pytest.approx(shards)


def test_even_ranges_carry_what_equal_ones_do_not() -> None:
    load = Load(0, 5e4)
    (limit,) = estimate(load, COSTS).limits
    assert limit.endswith("even ranges of slots do: --even-slots")
    assert not estimate(replace(load, even_slots=True), COSTS).limits


def test_a_feed_visits_each_node_at_most_once() -> None:
    assert visited(1, 20) == 1
    assert 2.99 < visited(3, 20) < 3
    assert 15 < visited(50, 20) < 21


@pytest.mark.parametrize(
    ("load", "limit"),
    [
        (Load(1e6, 0, hottest=0.01), "one post gets 10,000 reactions/s.*does 6,000"),
        (Load(0, 1e6), "100 shards on 100 nodes"),
        (Load(1e6, 0), "one server: 32 cores"),
    ],
)
def test_the_limits_say_where_the_design_ends(load: Load, limit: str) -> None:
    assert re.search(limit, "\n".join(estimate(load, COSTS).limits))


@given(st.floats(0, 1e7), st.floats(0, 1e7), st.floats(1, 3))
def test_more_load_never_needs_less(reactions: float, feeds: float, times: float) -> None:
    less = estimate(Load(reactions, feeds), COSTS).parts
    more = estimate(Load(reactions * times, feeds * times), COSTS).parts
    for name, part in less.items():
        assert more[name].cores >= part.cores
        assert more[name].nodes >= part.nodes


@pytest.mark.parametrize(
    ("values", "argument"),
    [
        ({"reactions_per_s": -1}, "reactions_per_s"),
        ({"feeds_per_s": float("nan")}, "feeds_per_s"),
        ({"rows": float("inf")}, "rows"),
        ({"first_feeds": 1.1}, "first_feeds"),
        ({"hottest": -0.1}, "hottest"),
        ({"busy": 0}, "busy"),
        ({"redis_gb": 0}, "redis_gb"),
        ({"postgres_cores": 0}, "postgres_cores"),
    ],
)
def test_a_load_out_of_bounds_is_refused(values: dict[str, float], argument: str) -> None:
    with pytest.raises(InvalidArgument, match=argument):
        Load(**{"reactions_per_s": 1, "feeds_per_s": 1, **values})  # type: ignore[arg-type]


def test_the_built_in_costs_are_complete() -> None:
    assert UnitCosts.read() == UnitCosts.read(BUILT_IN)
    assert UnitCosts.read().redis_us_per_reaction > 0


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("", "costs must be"),
        ("[]", r"costs\.web_us_per_reaction"),
        ("{}", r"costs\.web_us_per_reaction"),
        ('{"costs": {"web_us_per_reaction": "1"}}', r"costs\.web_us_per_reaction"),
        ('{"costs": {"web_us_per_reaction": true}}', r"costs\.web_us_per_reaction"),
        ('{"costs": {"web_us_per_reaction": -1}}', r"costs\.web_us_per_reaction"),
        ('{"costs": {"web_us_per_reaction": NaN}}', r"costs\.web_us_per_reaction"),
    ],
)
def test_a_file_without_costs_is_refused(tmp_path: Path, text: str, argument: str) -> None:
    file = tmp_path / "costs.json"
    file.write_text(text)
    with pytest.raises(InvalidArgument, match=argument):
        UnitCosts.read(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="costs must be a file"):
        UnitCosts.read(tmp_path / "none.json")


def test_the_last_line_of_the_benchmark_is_taken(tmp_path: Path) -> None:
    """It prints a table first."""
    file = tmp_path / "costs.json"
    costs = json.loads(BUILT_IN.read_text())
    file.write_text("Unit costs\n\nname  1\n" + json.dumps(costs) + "\n")
    assert UnitCosts.read(file) == UnitCosts.read()
