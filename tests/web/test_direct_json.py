"""The JSON that is written without schemas is byte for byte theirs."""

from __future__ import annotations

import pytest

from reactions.core.constants import MAX_ID
from reactions.core.model import Outcome, Status, Summary, Tier
from reactions.web import direct_json, schemas
from reactions.web.direct_json import FeedWriter, outcome_json

NAMES = ("like", "🧡", 'a "quoted" \\ name', "línea\u2028", "tab\t\x7f\x01", "</script>")


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("name", [None, *NAMES])
def test_an_outcome(status: Status, name: str | None) -> None:
    for version in (None, 1_795_819_339_297_451):
        outcome = Outcome(status, name, None, version)
        as_schema = schemas.Outcome.model_validate(outcome).model_dump_json()
        assert outcome_json(outcome) == as_schema.encode()


def feed() -> list[Summary]:
    return [
        Summary(post, dict.fromkeys(NAMES, post % 7), 42, tier, name)
        for post, (tier, name) in enumerate(zip([*Tier, *Tier], NAMES, strict=True), MAX_ID - 6)
    ]


def test_a_feed_also_when_it_is_written_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(direct_json, "MAX_WRITTEN", 4)
    writer = FeedWriter()
    first, second = feed(), feed()
    second[0] = Summary(first[0].post_id, {"like": 9}, 9, Tier.REGULAR, None)
    for items in (first, first, second, []):
        for missing in ([], [1], [1, MAX_ID]):
            made = schemas.Feed.model_validate({"items": items, "missing": missing})
            assert writer.feed_json(items, missing) == made.model_dump_json().encode()
    assert len(writer._written) <= 4
