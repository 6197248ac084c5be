"""The tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.scenarios.reads.run import FEED_VIRAL
from benchmarks.support import output
from benchmarks.support.statistics import percent

GOAL_PERCENT = 1.0


def print_tables(figures: Mapping[str, Any], markdown: bool) -> None:
    """Print three tables for each scenario, and one for the feed."""
    for scenario, found in figures["scenarios"].items():
        _print_calls(scenario, figures, found, markdown)
        _print_goal(found, markdown)
    _print_feed(figures["feed"], markdown)


def _print_calls(
    scenario: str, figures: Mapping[str, Any], found: Mapping[str, Any], markdown: bool
) -> None:
    output.print_table(
        f"User cache {scenario}: {figures['calls']:,} calls, {figures['writes']:.0%} writes, "
        f"arrivals: {figures['arrivals']}",
        ["call", "calls", "p50 µs", "p99 µs", "sent SQL", "%", "first lookups",
         "first lookups with SQL", "% by quarter"],
        [
            [
                name,
                *(each[key] for key in ("n", "p50", "p99", "sent_sql", "percent")),
                each["first_lookups"],
                each["of_first_lookups"],
                " ".join(f"{share:.1f}" for share in each["percent_by_quarter"]),
            ]
            for name, each in found["calls"].items()
        ],
        markdown,
    )  # fmt: skip
    if found["failed"]:
        output.err.print(f"{found['failed']:,} calls failed", style="red")
    logged = ((f"log: {word}", number) for word, number in found["logged"].items())
    output.print_table(
        "SQL statements by call",
        ["call: kind", "statements"],
        [*found["statements"].items(), *logged],
        markdown,
    )


def _print_goal(found: Mapping[str, Any], markdown: bool) -> None:
    made = found["viral_calls"]
    first, strange = found["viral_calls_first_lookups"], found["viral_calls_of_new_users"]
    output.print_table(
        f"Goal: at most {GOAL_PERCENT:.0f} % of reaction_of and summaries on viral posts send SQL",
        ["what", "all", "of these", "%"],
        [
            [
                "calls: sent SQL",
                made,
                found["viral_calls_sent_sql"],
                found["viral_calls_percent"],
            ],
            [
                "posts of these calls: statements",
                found["viral_calls_pairs"],
                found["viral_statements"],
                found["viral_statements_percent"],
            ],
            ["calls: first lookups of a (user, post)", made, first, percent(first, made)],
            ["calls: first calls for a user", made, strange, percent(strange, made)],
            [
                "(user, post) of all calls, feeds included: queried",
                found["viral_pairs"],
                found["viral_pairs_queried"],
                found["viral_pairs_percent"],
            ],
        ],
        markdown,
    )


def _print_feed(found: Mapping[str, Any], markdown: bool) -> None:
    warm, bare = found["warm"], found["bare_pipeline"]
    cold = (
        ("cold", "summaries, nothing cached"),
        ("cold_user", "summaries, nothing of the user cached"),
        ("cold_reaction_of", "reaction_of, nothing of the user cached"),
    )
    output.print_table(
        f"A feed of {found['posts']} posts, {FEED_VIRAL} of them viral; ratio of medians, warm to "
        f"bare: {found['ratio_of_medians']}",
        ["read", "p50 µs", "p99 µs", "round trips", "queries"],
        [
            ["summaries, warm", warm["p50"], warm["p99"], found["warm_round_trips"], 0],
            ["bare pipeline", bare["p50"], bare["p99"], 1, 0],
            *(
                [name, *(found[key][what] for what in ("p50", "p99", "round_trips", "queries"))]
                for key, name in cold
            ),
        ],
        markdown,
    )
