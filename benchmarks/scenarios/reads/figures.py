"""The figures of one scenario, from what its web processes recorded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.scenarios.reads.web import Played
from benchmarks.support.statistics import percent, quantiles

VIRAL_CALLS = ("reaction_of", "summaries of viral posts")
"""The calls for which the goal holds."""


def figures_of(played: Sequence[Played], seconds: float) -> dict[str, Any]:
    """The figures of all web processes together.

    Args:
        seconds: how long the web processes took.
    """
    took: dict[str, list[float]] = {}
    for each in played:
        for name, times in each.took.items():
            took.setdefault(name, []).extend(times)
    statements = _total(played, lambda p: p.statements)
    return {
        "calls_per_s": round(sum(len(times) for times in took.values()) / seconds, 1),
        "failed": sum(each.failed for each in played),
        "calls": _calls(played, took),
        **_viral(played, took, statements),
        "statements": dict(statements.most_common()),
        "react_statements": sum(
            number for name, number in statements.items() if name.startswith(("react:", "unreact:"))
        ),
    }


def _calls(played: Sequence[Played], took: Mapping[str, list[float]]) -> dict[str, Any]:
    """Times and statements of each kind of call."""
    sent = _total(played, lambda p: p.sent_sql)
    first, fresh = _total(played, lambda p: p.first), _total(played, lambda p: p.fresh)
    quarters = [_total(played, lambda p, n=n: p.quarters[n]) for n in range(8)]  # type: ignore[misc]
    return {
        name: {
            **quantiles(times),
            "sent_sql": sent[name],
            "percent": percent(sent[name], len(times)),
            "of_first_lookups": first[name],
            "first_lookups": fresh[name],
            "percent_by_quarter": [
                percent(quarters[4 + n][name], quarters[n][name]) for n in range(4)
            ],
        }
        for name, times in sorted(took.items())
    }


def _viral(
    played: Sequence[Played], took: Mapping[str, list[float]], statements: Counter[str]
) -> dict[str, Any]:
    """The calls about viral posts, by several measures."""
    sent = _total(played, lambda p: p.sent_sql)
    fresh, strange = _total(played, lambda p: p.fresh), _total(played, lambda p: p.strange)
    made = sum(len(took.get(name, ())) for name in VIRAL_CALLS)
    sent_sql = sum(sent[name] for name in VIRAL_CALLS)
    queries = sum(n for name, n in statements.items() if name.split(":")[0] in VIRAL_CALLS)
    viewed = sum(each.viral_only_pairs for each in played)
    pairs = sum(each.viral_pairs for each in played)
    queried = sum(each.viral_pairs_queried for each in played)
    return {
        "viral_calls": made,
        "viral_calls_sent_sql": sent_sql,
        "viral_calls_percent": percent(sent_sql, made),
        "viral_statements_percent": percent(queries, viewed),
        "viral_statements": queries,
        "viral_calls_pairs": viewed,
        "viral_calls_of_new_users": sum(strange[name] for name in VIRAL_CALLS),
        "viral_calls_first_lookups": sum(fresh[name] for name in VIRAL_CALLS),
        "viral_pairs": pairs,
        "viral_pairs_queried": queried,
        "viral_pairs_percent": percent(queried, pairs),
    }


def _total(played: Sequence[Played], of: Callable[[Played], Counter[str]]) -> Counter[str]:
    return sum((of(each) for each in played), Counter())
