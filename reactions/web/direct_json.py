"""The JSON of the answers that are sent most often, byte for byte as their schemas write it.

The schemas stay the truth: a test compares both. This is faster than a schema for the same bytes:
the values of a post that did not change between two feeds are written once.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from reactions.core.model import Outcome, Summary

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode

MAX_WRITTEN = 10_000
"""Summaries whose JSON a process remembers."""


def outcome_json(outcome: Outcome) -> bytes:
    """Write an outcome as ``schemas.Outcome`` does."""
    return _encode(
        {
            "status": outcome.status.value,
            "reaction": outcome.reaction,
            "previous": outcome.previous,
            "version": outcome.version,
        }
    ).encode()


class FeedWriter:
    """Writes feeds as ``schemas.Feed`` does."""

    def __init__(self) -> None:
        self._written: dict[int, tuple[Summary, str]] = {}

    def feed_json(self, items: Sequence[Summary], missing: Sequence[int]) -> bytes:
        """Write a feed. A summary that is the same object as before is not written again."""
        written = self._written
        parts = []
        for summary in items:
            known = written.get(summary.post_id)
            if known is None or known[0] is not summary:
                known = summary, _summary_json(summary)
                if len(written) >= MAX_WRITTEN:
                    written.clear()
                written[summary.post_id] = known
            parts.append(known[1])
        lacking = ",".join(f'"{post_id}"' for post_id in missing)
        return f'{{"items":[{",".join(parts)}],"missing":[{lacking}]}}'.encode()


def _summary_json(summary: Summary) -> str:
    return (
        f'{{"post_id":"{summary.post_id}","counts":{_encode(summary.counts)},'
        f'"total":{summary.total},"tier":"{summary.tier.value}",'
        f'"reaction":{_encode(summary.reaction)}}}'
    )
