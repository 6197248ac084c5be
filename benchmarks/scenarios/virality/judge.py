"""Compares what was noticed with what became of each post. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.scenarios.virality.replay import Noted
from benchmarks.scenarios.virality.trace import Growth


def judge(truth: Growth, noted: Noted, threshold: int, item: int) -> dict[str, Any]:
    """Compare flags and promotions with the growth in the trace. Times are in minutes."""
    crossed = truth.crossed(threshold)
    leads = {
        post: (at - noted.rising[post]) / 60
        for post, at in crossed.items()
        if post in noted.rising and noted.rising[post] < at
    }
    # The last flag before the post crossed the threshold; earlier ones may have been withdrawn.
    lasting = {
        post: (crossed[post] - max(at for at in noted.flags[post] if at < crossed[post])) / 60
        for post in leads
    }
    vain = sorted(noted.rising.keys() - crossed.keys())
    return {
        "crossed": len(crossed),
        "promoted": len(noted.viral),
        "promoted_are_those_that_crossed": noted.viral.keys() == crossed.keys(),
        "flagged": len(noted.rising),
        "flagged_ahead": len(leads),
        "flagged_in_vain": len(vain),
        "vain": {post: len(truth.reached[post]) for post in vain},
        "missed": len(crossed) - len(leads),
        "falls": noted.falls,
        "median_lead_min": _median(leads),
        "shortest_lead_min": round(min(leads.values()), 1) if leads else None,
        "median_lead_of_last_flag_min": _median(lasting),
        "item": _item(truth, noted, item, leads, lasting, threshold),
        "plain": _plain(truth, noted, item, threshold, len(vain)),
    }


def _item(
    truth: Growth,
    noted: Noted,
    item: int,
    leads: Mapping[int, float],
    lasting: Mapping[int, float],
    threshold: int,
) -> dict[str, Any]:
    flagged = noted.rising.get(item)
    return {
        "item": item,
        "reactions_in_all": len(truth.reached[item]),
        "reactions_when_flagged": truth.size(item, flagged) if flagged else None,
        "lead_min": round(leads[item], 1) if item in leads else None,
        "lead_of_last_flag_min": round(lasting[item], 1) if item in lasting else None,
        "flags": len(noted.flags.get(item, ())),
        "crossed_at": truth.crossed(threshold).get(item),
        "promoted_at": noted.viral.get(item),
    }


def _plain(
    truth: Growth, noted: Noted, item: int, threshold: int, vain: int
) -> dict[str, dict[str, Any]]:
    """Plain, lower thresholds: one with the same lead for the item, one with as many in vain."""
    found = {}
    if item in noted.rising:
        same_lead = max(1, truth.size(item, noted.rising[item]))
        found["same_lead"] = _plain_at(truth, item, threshold, same_lead)
    below = sorted((n for t in truth.reached.values() if (n := len(t)) < threshold), reverse=True)
    same_vain = below[vain] + 1 if vain < len(below) else 1
    found["same_vain"] = _plain_at(truth, item, threshold, same_vain)
    return found


def _plain_at(truth: Growth, item: int, threshold: int, lower: int) -> dict[str, Any]:
    crossed = truth.crossed(threshold)
    flagged = truth.crossed(lower)
    leads = {post: (at - flagged[post]) / 60 for post, at in crossed.items()}
    return {
        "threshold": lower,
        "flagged": len(flagged),
        "in_vain": len(flagged) - len(crossed),
        "item_lead_min": round(leads[item], 1) if item in leads else None,
        "median_lead_min": _median(leads),
    }


def _median(leads: Mapping[int, float]) -> float | None:
    return round(statistics.median(leads.values()), 1) if leads else None
