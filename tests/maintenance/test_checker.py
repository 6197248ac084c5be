"""A check finds damage of every kind and names it; one repair removes it."""

from __future__ import annotations

import pytest

from benchmarks.support.statements import statements
from reactions.maintenance.checker import PostChecker
from reactions.maintenance.compare import Difference, Kind
from reactions.maintenance.verify import Verifier
from reactions.redis.keys import default_keys as keys
from tests.maintenance.damage import COLD, DAMAGE, DELETED, REGULAR, VIRAL, execute
from tests.support.engine import Engine


def checker(engine: Engine) -> PostChecker:
    return PostChecker(engine.client, engine.database, engine.settings)


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_found_named_and_repaired(sound: Engine, damage: str) -> None:
    kind, post, do = DAMAGE[damage]
    posts = [REGULAR, VIRAL, COLD, DELETED]
    assert checker(sound).check(posts, count_rows=True).differences == []
    do(sound)
    found = checker(sound).check(posts, count_rows=True).differences
    assert (kind, post) in {(d.kind, d.post_id) for d in found}
    assert {d.post_id for d in found} == {post}
    checker(sound).repair(found)
    assert checker(sound).check(posts, count_rows=True).differences == []
    sound.drain()
    if damage == "a row lost from the database":  # a check of posts cannot know whose row it was
        assert set(sound.verify().found) == {Kind.USER}
        Verifier(sound.client, sound.database, sound.settings, repair=True).verify()
    assert sound.verify().found == {}


def test_a_clean_system_shows_none_while_it_works(sound: Engine) -> None:
    """Pending and claimed changes are no difference."""
    client, posts = sound.reactions, [REGULAR, VIRAL, COLD]
    for user in range(1, 30):
        client.react_many((user, post, ("wow", None)[user % 3 == 0]) for post in posts)
        assert checker(sound).check(posts, count_rows=True).differences == []
    (claim, _other), failed = sound.outbox.claim({42: "", 43: ""})
    assert not failed
    checked = checker(sound).check(posts)
    assert checked.decided == {}  # a claimed post is not decided
    assert claim.posts
    assert checked.differences == []


def test_a_look_at_a_large_post_reads_no_more_than_its_newest(sound: Engine) -> None:
    """The rows read do not depend on the size of the post. The audit counts rows."""
    for first in range(1, 200_000, 20_000):  # each within the timeout of a statement
        execute(
            sound,
            "INSERT INTO reactions SELECT 2042, i, 1000 + i, 1 + i % 2"
            " FROM generate_series(:first, :first + 19999) AS i",
            first=first,
        )
    execute(sound, "INSERT INTO reaction_counts VALUES (2042, 1, 100000), (2042, 2, 100000)")
    execute(sound, "ANALYZE reactions")
    sound.loader.load([2042])
    with statements(sound.database.engine) as sent:
        assert checker(sound).check([2042]).differences == []
    assert len(sent) <= 5
    with sound.database.engine.connect() as connection:
        for statement, parameters in sent:
            plan = connection.exec_driver_sql(f"EXPLAIN {statement}", parameters)
            lines = [line for (line,) in plan]
            assert not [line for line in lines if "Seq Scan on reactions" in line], lines


@pytest.mark.parametrize(
    ("most", "portions"),
    [
        (20, [[REGULAR, VIRAL, COLD, DELETED]]),
        (9, [[REGULAR, VIRAL], [COLD, DELETED]]),
        (5, [[REGULAR], [VIRAL], [COLD, DELETED]]),
        (1, [[REGULAR], [VIRAL], [COLD], [DELETED]]),
    ],
)
def test_posts_are_compared_in_portions_of_bounded_rows(
    sound: Engine, monkeypatch: pytest.MonkeyPatch, most: int, portions: list[list[int]]
) -> None:
    """The regular posts have 5, 3 and 0 rows, and 4 rows of the viral post are read."""
    monkeypatch.setattr("reactions.maintenance.checker.SAMPLE_SIZE", 2)
    monkeypatch.setattr("reactions.maintenance.checker.MAX_COMPARED_ROWS", most)
    assert list(checker(sound).portions([REGULAR, VIRAL, COLD, DELETED])) == portions


def test_a_look_leaves_no_load_announced(sound: Engine) -> None:
    """Otherwise the loads that reads ask for would give way to it until it expires."""
    checker(sound).check([REGULAR, VIRAL, COLD], count_rows=True)
    assert sound.client.keys("post:*:loading") == []
    assert sound.cache_install.fence(COLD, "theirs")
    checker(sound).check([COLD], give_way=True)
    assert sound.client.get(keys.post_loading(COLD)) == b"theirs"


def test_a_read_under_way_does_not_undo_a_repair(sound: Engine) -> None:
    """The read got its counts before the repair, and installs them after it."""
    DAMAGE["a count in the database"][2](sound)
    sound.cache_install.drop(VIRAL)
    assert sound.cache_install.fence(VIRAL, "slow")
    stale = sound.queries.counts([VIRAL])[VIRAL]
    found = checker(sound).check([VIRAL], count_rows=True, give_way=True)
    assert found.decided == {}
    checker(sound).repair([Difference(Kind.LEDGER, VIRAL, "")])
    assert not sound.cache_install.install_counts(VIRAL, "slow", stale)[0]
    assert sound.verify().found == {}
    assert sound.post_snapshots.snapshots([VIRAL])[0].sampled
