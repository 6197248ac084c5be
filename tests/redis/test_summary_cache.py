"""summary_cache.py: what ready summaries answer, and what they must leave to a lookup."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reactions.core.errors import ReactionsUnavailable, ScriptError
from reactions.core.model import Summary, Tier
from reactions.core.settings import Settings
from reactions.redis import summary_cache
from reactions.redis.connection import Client, connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.summary_cache import Found, SummaryCache
from tests.support.servers import running_redis

POST, OTHER = 1042, 1043  # on two shards
USER = 7


@pytest.fixture
def cache(client: Client, redis_settings: Settings) -> SummaryCache:
    return SummaryCache(client, redis_settings)


def write(client: Client, value: bytes | str, post: int = POST) -> None:
    client.set(keys.post_summary(post), value)


def own(client: Client, cached: dict[int, object], mark: object = 1, user: int = USER) -> None:
    """Write the cached reactions of a user; no mark when it is None."""
    marked = {0: mark} if mark is not None else {}
    flat = [str(part) for pair in (marked | cached).items() for part in pair]
    client.execute_command("HSET", keys.user_reactions(user), *flat)  # type: ignore[no-untyped-call]


def only(found: Found, post: int = POST) -> Summary:
    assert set(found.summaries) == {post}
    return found.summaries[post]


def shown(summary: Summary) -> dict[str, int]:
    return {name: count for name, count in summary.counts.items() if count}


NOT_OURS = [
    b"", b";", b",", b"garbage", b"0,1", b"0,1,x", b"0,1,5,2", b"3,1,5", b"-1,1,5",
    b"0,1,5;x", b"0,1,5;7", b"0,1,5;7:", b"0,1,5;:1", b"0,1,5;7:0:1:2", b"0,1,5;7:1;", b"0,1,5;;",
    b"0,1,5;7:1,2", b"\xff\xfe", b"0,1," + b"9" * 5_000, b"{\"1\": 5}", b"\x00" * 600,
]  # fmt: skip


@pytest.mark.parametrize("value", NOT_OURS)
def test_what_no_script_wrote_is_as_good_as_none(
    cache: SummaryCache, client: Client, value: bytes
) -> None:
    write(client, value)
    write(client, "0,1,5", OTHER)
    own(client, {})
    for user in (0, USER):
        found = cache.read([POST, OTHER], user)
        assert shown(only(found, OTHER)) == {"like": 5}
        assert found.user_loaded


@pytest.mark.parametrize("kind", ["HSET 1 5", "RPUSH 1 5", "SADD 1", "ZADD 1 5", "XADD * 1 5"])
def test_a_summary_of_another_type_is_as_good_as_none(
    cache: SummaryCache, client: Client, kind: str
) -> None:
    name, *rest = kind.split()
    client.execute_command(name, keys.post_summary(POST), *rest)  # type: ignore[no-untyped-call]
    assert cache.read([POST], 0).summaries == {}
    assert cache.read([POST], USER).summaries == {}


def test_the_answer_to_one_caller_is_not_anothers(cache: SummaryCache, client: Client) -> None:
    """Both come from the same parsed counts, which nobody can change."""
    write(client, "0,1,5")
    counts: Any = only(cache.read([POST], 0)).counts
    with pytest.raises(TypeError):
        counts["like"] = 99
    assert shown(only(cache.read([POST], 0))) == {"like": 5}
    write(client, "0,1,5;7:0:1")
    assert shown(only(cache.read([POST], 0))) == {"like": 6}
    write(client, "0,1,5")
    assert shown(only(cache.read([POST], 0))) == {"like": 5}


def test_a_remembered_summary_is_for_readers_without_a_reaction(
    cache: SummaryCache, client: Client
) -> None:
    """The process remembers what one reader got; the next reader has a reaction, or is listed."""
    write(client, "0,1,5")
    own(client, {})
    for _ in range(2):
        assert only(cache.read([POST], USER)).reaction is None
    own(client, {POST: 1})
    assert only(cache.read([POST], USER)).reaction == "like"
    assert only(cache.read([POST], 0)).reaction is None
    write(client, f"0,1,5;{USER}:0:1")
    own(client, {})
    for _ in range(2):
        assert only(cache.read([POST], 0)).reaction is None
        assert only(cache.read([POST], USER)).reaction == "like"
    write(client, "0,1,7")
    assert only(cache.read([POST], 0)).total == 7
    client.delete(keys.post_summary(POST))
    assert cache.read([POST], 0).summaries == {}


def test_more_summaries_than_a_process_remembers(
    cache: SummaryCache, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(summary_cache, "MAX_MADE", 10)
    posts = range(1, 36)
    for post in posts:
        write(client, f"0,1,{post}", post)
    for _ in range(2):
        found = cache.read(posts, 0).summaries
        assert {post: found[post].total for post in posts} == {post: post for post in posts}
        assert len(cache._made) <= 10


@pytest.mark.parametrize(
    ("value", "tier", "total"),
    [
        ("0,1,5", Tier.REGULAR, 5),
        ("0,1,10", Tier.VIRAL, 10),  # the threshold of these tests
        ("1,1,9", Tier.VIRAL, 9),
        ("0,1,9;7:0:2", Tier.VIRAL, 10),
        ("1,1,9;7:1:0", Tier.VIRAL, 8),
        ("0,1,-3,2,1", Tier.REGULAR, 1),
        ("0,200,50", Tier.REGULAR, 0),
        ("2,", Tier.DELETED, 0),
    ],
)
def test_tiers_and_totals(
    cache: SummaryCache, client: Client, value: str, tier: Tier, total: int
) -> None:
    write(client, value)
    found = only(cache.read([POST], 0))
    assert (found.tier, found.total, sum(found.counts.values())) == (tier, total, total)
    assert min(found.counts.values()) >= 0


# -- the user's own reaction -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "cached", "answered", "reaction"),
    [
        (1, {POST: 2}, True, "love"),
        (1, {POST: 0}, True, None),
        (1, {}, True, None),  # the hash is complete, so there is no reaction
        (0, {POST: 2}, True, "love"),
        (0, {}, False, None),  # the user has too many
        (None, {POST: 2}, True, "love"),
        (None, {OTHER: 2}, False, None),
        (None, {}, False, None),  # no hash at all
    ],
)
def test_own_reactions(
    cache: SummaryCache,
    client: Client,
    mark: int | None,
    cached: dict[int, object],
    answered: bool,
    reaction: str | None,
) -> None:
    write(client, "0,1,3,2,2")
    if cached or mark is not None:
        own(client, cached, mark)
    found = cache.read([POST], USER)
    assert found.user_loaded is (mark is not None)
    assert (POST in found.summaries) is answered
    assert not answered or only(found).reaction == reaction
    assert set(found.waiting) == ({POST} if mark is None and not answered else set())


@pytest.mark.parametrize(
    ("value", "code", "reaction"),
    [
        ("0,1,3,2,2", 2, "love"),
        ("0,1,3,2,2", 0, None),
        ("0,1,3,2,2;8:0:4", 4, "wow"),
        ("0,1,3", 2, "nothing"),  # it became durable after the summary was read
        ("0,1,3,2,1;8:2:0", 2, "nothing"),
        ("0,1,3", 200, None),  # a type that a newer version knows
        ("2,", 1, None),
    ],
)
def test_waiting_posts_are_completed_by_what_postgresql_knows(
    cache: SummaryCache, client: Client, value: str, code: int, reaction: str | None
) -> None:
    write(client, value)
    found = cache.complete(cache.read([POST], USER).waiting, {POST: code})
    assert found.get(POST, cache.read([POST], 0).summaries[POST]).post_id == POST
    assert [summary.reaction for summary in found.values()] == (
        [] if reaction == "nothing" else [reaction]
    )
    for summary in found.values():
        assert summary.total == sum(summary.counts.values())
        assert summary.reaction is None or summary.counts[summary.reaction]


@pytest.mark.parametrize("listed", ["7:2", "7:1:2", "7:0:3;7:3:2", "70:1;7:2;77:0:4"])
def test_what_a_summary_lists_is_newer_than_the_users_hash(
    cache: SummaryCache, client: Client, listed: str
) -> None:
    write(client, f"0,1,3,2,2;{listed}")
    own(client, {POST: 1})
    assert only(cache.read([POST], USER)).reaction == "love"
    assert only(cache.read([POST], USER)).counts["love"] >= 2


def test_a_listed_removal_is_known_without_a_hash(cache: SummaryCache, client: Client) -> None:
    write(client, "0,1,3;7:1:0")
    assert only(cache.read([POST], USER)).reaction is None
    assert cache.read([POST], USER).summaries[POST].total == 2
    assert cache.read([POST], USER + 1).summaries == {}


def test_a_deleted_post_shows_no_reaction(cache: SummaryCache, client: Client) -> None:
    write(client, "2,")
    own(client, {POST: 1})
    assert only(cache.read([POST], USER)).reaction is None


@pytest.mark.parametrize("code", ["x", "", "1:2"])
def test_a_cached_code_that_no_script_wrote_is_left_to_the_lookup(
    cache: SummaryCache, client: Client, code: str
) -> None:
    write(client, "0,1,3")
    write(client, "0,1,4", OTHER)
    own(client, {POST: code, OTHER: 1})
    assert only(cache.read([POST, OTHER], USER), OTHER).reaction == "like"


def test_a_read_renews_the_users_hash_now_and_then(
    cache: SummaryCache, client: Client, redis_settings: Settings
) -> None:
    own(client, {})
    life = redis_settings.cache_ttl_user_s * 1000
    name = keys.user_reactions(USER)
    cache.read([POST], USER)
    assert life * (1 - redis_settings.cache_ttl_jitter) - 5_000 < client.pttl(name) <= life
    client.pexpire(name, 5_000)
    cache.read([POST], USER)
    assert client.pttl(name) <= 5_000  # it did so a moment ago
    SummaryCache(client, redis_settings).read([POST], USER)
    assert client.pttl(name) > 5_000


# -- servers that cannot serve ---------------------------------------------------------------------


def test_a_server_that_refuses_is_unavailable_not_a_defect(
    client: Client, redis_settings: Settings
) -> None:
    """The refusal of one of the two commands is reported, with its reason."""
    port = client.connection_pool.connection_kwargs["port"]  # type: ignore[union-attr]
    client.execute_command(  # type: ignore[no-untyped-call]
        "ACL", "SETUSER", "half", "on", ">half", "~*", "+@all", "-hmget"
    )
    url = f"redis://half:half@127.0.0.1:{port}/0"
    with connect(Settings(redis_url=url)) as denied:
        cache = SummaryCache(denied, redis_settings)
        for _ in range(2):
            with pytest.raises(ReactionsUnavailable, match=r"(?i)hmget|permission"):
                cache.read([POST], USER)
            assert cache.read([POST], 0).summaries == {}
    client.execute_command("ACL", "DELUSER", "half")  # type: ignore[no-untyped-call]


def test_a_full_redis_still_answers(tmp_path: Path) -> None:
    with running_redis(tmp_path, "redis") as server:
        settings = Settings(redis_url=server.url)
        with connect(settings) as client:
            write(client, "0,1,3")
            own(client, {POST: 1})
            client.config_set("maxmemory-policy", "noeviction")
            client.config_set("maxmemory", 1)
            cache = SummaryCache(client, settings)
            assert only(cache.read([POST], USER)).reaction == "like"
            assert only(cache.read([POST], 0)).total == 3


def test_a_users_hash_of_another_type_is_an_error_of_this_library(
    cache: SummaryCache, client: Client
) -> None:
    write(client, "0,1,3")
    client.set(keys.user_reactions(USER), "foreign")
    with pytest.raises(ScriptError, match=r"WRONGTYPE|wrong kind"):
        cache.read([POST], USER)
