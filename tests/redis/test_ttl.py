"""TTLs: every cache key has one, by tier, with jitter and renewed by use; outbox keys have none."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import pytest

from reactions.core.constants import LOAD_LIFE_MS
from reactions.core.settings import Settings
from reactions.drain.persister import Persister
from reactions.redis import keys
from reactions.redis.connection import Client
from reactions.redis.outbox import Outbox
from reactions.redis.pipeline import Call, run_many
from reactions.redis.scripts import loading
from tests.support.engine import Engine, make_engine
from tests.support.reading import shrink

POST = 1042
USER = 7
COLD, REGULAR, HOT, VIRAL, OF_USERS = 1_000, 2_000, 3_000, 4_000, 5_000  # s
JITTER = 0.2
SUMMARY = "summary"
SUMMARY_SHARE = 1 / 4  # of the TTL of its post
VIRAL_FROM = 15


@pytest.fixture
def small(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    """Each tier has a TTL of its own; 15 reactions are viral; samples of five, buckets of four."""
    shrink(monkeypatch, 5, 4, 8)
    made = make_engine(with_lives(engine.settings))
    yield made
    made.close()


def with_lives(settings: Settings, **update: float) -> Settings:
    return settings.model_copy(
        update={
            "cache_ttl_cold_s": COLD,
            "cache_ttl_regular_s": REGULAR,
            "cache_ttl_hot_s": HOT,
            "cache_ttl_viral_s": VIRAL,
            "cache_ttl_user_s": OF_USERS,
            "cache_ttl_jitter": JITTER,
            "viral_threshold": VIRAL_FROM,
            "hot_rate": 1e6,
            **update,
        }
    )


def react(engine: Engine, post_id: int, users: Iterable[int], reaction: str = "like") -> None:
    engine.reactions.react_many((user, post_id, reaction) for user in users)


def lives(engine: Engine, pattern: str = "*") -> dict[str, float]:
    """Return key -> TTL in seconds, -1 for a key without one."""
    found = [key.decode() for key in engine.client.scan_iter(pattern, count=10_000)]
    with engine.client.pipeline(transaction=False) as pipe:
        for key in found:
            pipe.pttl(key)
        replies = pipe.execute()
    return {
        key: life / 1000 if life >= 0 else -1.0
        for key, life in zip(found, replies, strict=True)
        if life != -2
    }


def of_post(engine: Engine, post_id: int = POST) -> dict[str, float]:
    """Return the last part of each cache key of a post -> its TTL in seconds."""
    return {
        key.split(":", 3)[3]: life
        for key, life in lives(engine, f"post:*:{post_id}:*").items()
        if life >= 0
    }


def check(found: dict[str, float], life: float, *names: str) -> None:
    """Assert that all these keys exist, and that every key has this TTL, less jitter.

    A summary has its share of it. It ends before the other keys, so that reads renew those in time.
    """
    for name in names:
        assert any(re.fullmatch(name, key) for key in found), f"no {name} in {found}"
    right = {key: life * SUMMARY_SHARE if key == SUMMARY else life for key in found}
    wrong = {key: left for key, left in found.items() if not _within(left, right[key])}
    assert wrong == {}, f"not {right}"


def _within(left: float, life: float) -> bool:
    return life * (1 - JITTER) - 10 <= left <= life


def shorten(engine: Engine, pattern: str) -> None:
    """Let the TTLs nearly end."""
    for key, life in lives(engine, pattern).items():
        if life >= 0:
            engine.client.pexpire(key, 50_000)


def test_every_cache_key_has_a_ttl_and_no_outbox_key_has_one(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After every kind of operation."""
    client = small.reactions
    react(small, 1, range(1, 4))  # only counted
    react(small, 2, range(1, 9))  # regular
    react(small, 3, range(1, 4))  # regular, then close to viral
    react(small, 4, range(1, 30))  # viral
    react(small, 5, range(1, 30))  # deleted
    react(small, 6, range(1, 30))  # viral, then regular
    react(small, 10, range(1, 4))
    small.drain()
    assert small.loader.load([2, 3]) == 2
    client.delete_post(5)
    small.eraser.erase()
    react(small, 3, range(4, 15))
    client.react_many((user, 6, None) for user in range(1, 25))
    small.drain()
    client.summaries(range(1, 100), USER)
    client.summaries([1, 777], 12_345)
    client.counts(888)
    client.uniques(4)
    client.recent(4)
    client.reactors(4)
    client.delete_post(4)
    client.delete_post(999)
    client.forget_user(3)
    small.eraser.erase(0.0)
    react(small, 8, range(1, 30))
    small.drain()
    react(small, 9, range(1, 5))
    claims, _ = small.outbox.claim({9: ""})
    assert claims
    react(small, 9, range(3, 9), "love")
    interrupt_loads(small, monkeypatch)
    found = lives(small)
    durable = r"outbox:\{\d+\}:\w+|post:\{\d+\}:\d+:(pending|claimed|delta)"
    for kind in (
        r"post:\{\d+\}:\d+:(reactions|reaction_counts|viral|total_reactions|recent|uniques)",
        r"post:\{\d+\}:\d+:reactions:[1-9]\d*",
        r"post:\{\d+\}:\d+:(loading|summary)",
        r"post:\{\d+\}:\d+:loading:t",
        r"post:\{\d+\}:\d+:loading:t:\d+",
        r"user:\{\d+\}:\d+:(reactions|loading)",
        r"outbox:\{\d+\}:(dirty|clock|lease|wake|lags|deleted|deletions|forgetting)",
        r"post:\{\d+\}:\d+:(pending|claimed|delta)",
    ):
        parts = re.search(r"\((\w+(?:\|\w+)+)\)", kind)
        for name in parts[1].split("|") if parts else [""]:
            one = kind.replace(parts[0], name) if parts else kind
            assert any(re.fullmatch(one, key) for key in found), f"no {one}"
    assert {key for key, life in found.items() if life < 0} == {
        key for key in found if re.fullmatch(durable, key)
    }


def interrupt_loads(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the loads of a hash, a sample and a user's reactions, which die before the install."""
    run, send = Call.run, run_many
    installs = (loading.INSTALL_REACTIONS, loading.INSTALL_SAMPLE)

    def dies(call: Call, client: Client) -> object:
        if call.script in installs:
            raise InterruptedError
        return run(call, client)

    def dies_of_many(client: Client, calls: Sequence[Call]) -> object:
        if any(call.script in installs for call in calls):
            raise InterruptedError
        return send(client, calls)

    with monkeypatch.context() as patch:
        patch.setattr(Call, "run", dies)
        patch.setattr("reactions.redis.pipeline.run_many", dies_of_many)
        assert engine.cache_install.fence(1, "t")
        with pytest.raises(InterruptedError):
            engine.cache_install.install_reactions(1, "t", dict.fromkeys(range(1, 20), 1))
        assert engine.cache_install.fence(8, "t")
        with pytest.raises(InterruptedError):
            engine.cache_install.install_sample(
                8, "t", total=1, newest=[(1, 1)], ever=range(1, 3_000)
            )
    run_many(engine.client, [engine.eraser._users.fence_command(USER, "t")])


def test_the_leftovers_of_a_load_expire_soon(
    small: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_loads(small, monkeypatch)
    found = lives(small)
    assert len([key for key in found if ":loading:t" in key]) > 3
    assert all(0 < life <= LOAD_LIFE_MS / 1000 for life in found.values())


def read(engine: Engine, user: int | None = None, post_id: int = POST) -> None:
    """Read a post by way of the lookup script, as the first read after the end of a summary."""
    engine.client.delete(keys.post_summary(post_id))
    engine.reactions.summaries([post_id], user)


def test_each_tier_has_its_ttl(small: Engine) -> None:
    react(small, POST, range(1, 9))
    small.drain()
    check(of_post(small), COLD, "reaction_counts")
    read(small, 98)
    check(of_post(small), COLD, "reaction_counts", SUMMARY)
    small.loader.load([POST])
    react(small, POST, range(1, 6), "wow")
    small.drain()
    check(of_post(small), REGULAR, "reaction_counts", "reactions", "reactions:1")
    read(small)
    check(of_post(small), REGULAR, "reaction_counts", SUMMARY)
    react(small, POST, range(1, VIRAL_FROM + 1), "love")
    small.drain()
    names = "reaction_counts", "reactions", "reactions:1", "viral", "total_reactions", "recent"
    check(of_post(small), VIRAL, *names, "uniques")
    react(small, POST, [99])
    small.drain()
    check(of_post(small), VIRAL, *names, "uniques")
    read(small)
    check(of_post(small), VIRAL, *names, "uniques", SUMMARY)
    small.reactions.react_many((user, POST, None) for user in range(1, 10))
    small.drain()
    found = of_post(small)
    assert "viral" not in found
    assert _within(found["reaction_counts"], COLD)
    react(small, POST, [98])
    shorten(small, "user:*")
    small.drain()
    check(of_post(small), REGULAR, "reaction_counts", "reactions")
    check(lives(small, "user:*"), OF_USERS, re.escape(keys.user_reactions(98)))


def test_a_post_that_is_reacted_on_often_lives_longer(small: Engine) -> None:
    settings = small.settings.model_copy(update={"hot_rate": 5.0})
    small.persister = Persister(small.client, small.database, settings)
    small.outbox = Outbox(small.client, settings)
    for post, users in ((POST, 8), (POST + 100, 4)):
        react(small, post, range(1, 4))
        small.drain()
        assert small.loader.load([post]) == 1
        react(small, post, range(1, users + 1), "love")
        small.drain()
    check(of_post(small), HOT, "reaction_counts", "reactions")
    check(of_post(small, POST + 100), REGULAR, "reaction_counts", "reactions")


def test_a_read_sets_the_same_ttls(small: Engine) -> None:
    react(small, POST, range(1, 4))
    react(small, POST + 100, range(1, VIRAL_FROM + 5))
    small.drain()
    for key in lives(small, "post:*") | lives(small, "user:*"):
        small.client.delete(key)
    small.reactions.summaries([POST, POST + 100, 5], 12_345)
    check(of_post(small), COLD, "reaction_counts")
    check(of_post(small, 5), COLD, "reaction_counts")
    check(of_post(small, POST + 100), VIRAL, "reaction_counts", "viral")
    check(lives(small, "user:*"), OF_USERS, r"user:.*:reactions")


def test_keys_that_are_written_together_do_not_expire_together(small: Engine) -> None:
    """Their TTLs are spread over the whole jitter."""
    posts = range(1, 61)
    for post in posts:  # a drain writes to the users who were read
        small.reactions.reaction_of(post, post)
    shorten(small, "user:*")
    small.reactions.react_many((post, post, "like") for post in posts)
    small.drain()
    for found, life in (
        (lives(small, "post:*:reaction_counts"), COLD),
        (lives(small, "user:*:reactions"), OF_USERS),
    ):
        assert len(found) == len(posts)
        check(found, life)
        assert len({round(left) for left in found.values()}) > 20 or life != COLD
        assert max(found.values()) - min(found.values()) > life * JITTER / 2
    for key in lives(small, "post:*:reaction_counts"):
        small.client.delete(key)
    small.reactions.summaries(posts)
    found = lives(small, "post:*:reaction_counts")
    check(found, COLD)
    assert max(found.values()) - min(found.values()) > COLD * JITTER / 2
    small.reactions.summaries(posts)
    found = lives(small, "post:*:summary")
    assert len(found) == len(posts)
    check(found, COLD * SUMMARY_SHARE)
    assert max(found.values()) - min(found.values()) > COLD * SUMMARY_SHARE * JITTER / 2
    assert small.loader.load(posts) > 10
    found = lives(small, "post:*:reactions")
    check(found, REGULAR)
    assert max(found.values()) - min(found.values()) > REGULAR * JITTER / 2


def test_without_jitter_ttls_are_as_configured(small: Engine) -> None:
    exact = make_engine(with_lives(small.settings, cache_ttl_jitter=0.0))
    for user in range(1, 9):  # a drain writes to the users who were read
        exact.reactions.reaction_of(user, POST)
    shorten(exact, "user:*")
    react(exact, POST, range(1, 9))
    exact.drain()
    exact.reactions.summaries([POST], 99)
    cold = of_post(exact)
    exact.loader.load([POST])
    assert COLD - 10 <= cold["reaction_counts"] <= COLD
    assert COLD / 4 - 10 <= cold[SUMMARY] <= COLD / 4
    exact.reactions.summaries([POST], 99)
    found = of_post(exact)
    assert REGULAR / 4 - 10 <= found.pop(SUMMARY) <= REGULAR / 4
    assert "reaction_counts" in found
    assert all(REGULAR - 10 <= life <= REGULAR for life in found.values())
    of_users = lives(exact, "user:*")
    assert len(of_users) == 9
    assert all(OF_USERS - 10 <= life <= OF_USERS for life in of_users.values())
    exact.close()


def prepare(engine: Engine, tier: str) -> float:
    """Make a post of this tier, and return its TTL."""
    react(engine, POST, range(1, VIRAL_FROM + 5 if tier == "viral" else 9))
    engine.drain()
    if tier == "regular":
        assert engine.loader.load([POST]) == 1
    return {"cold": COLD, "regular": REGULAR, "viral": VIRAL}[tier]


def left_at(engine: Engine, left: float) -> dict[str, float]:
    """Let so much of the TTLs of the post be left, except that of its summary."""
    for name in set(of_post(engine)) - {SUMMARY}:
        engine.client.pexpire(f"{keys.post_prefix(POST % 100)}{POST}:{name}", int(left * 1000))
    return of_post(engine)


@pytest.mark.parametrize("tier", ["cold", "regular", "viral"])
def test_use_renews_a_ttl_that_is_nearly_over(small: Engine, tier: str) -> None:
    """Reads and drains renew it. Reads leave a TTL alone until half of it is over.

    The summary answers alone, and only the read after its end renews the other keys.
    """
    life = prepare(small, tier)
    names = set(of_post(small))
    client = small.reactions
    for user in (None, 8):
        shorten(small, f"post:*:{POST}:*")
        read(small, user)
        assert set(of_post(small)) == names | {SUMMARY}
        check(of_post(small), life)
    for left in (life * (1 - JITTER) - 50, life / 2 + 50):
        before = left_at(small, left)
        client.summaries([POST])
        assert all(left <= before[name] for name, left in of_post(small).items())
        read(small)
        found = of_post(small)
        assert _within(found.pop(SUMMARY), life / 4)
        assert all(life / 4 < found[name] <= before[name] for name in names)
    shorten(small, f"post:*:{POST}:*")
    client.summaries([POST])
    assert max(of_post(small).values()) <= 50
    small.client.delete(keys.post_summary(POST))
    client.counts(POST)
    check(of_post(small), life)
    shorten(small, f"post:*:{POST}:*")
    client.react(8, POST, "wow")
    small.drain()
    found = of_post(small)
    if tier == "cold":  # the second use has loaded its hash
        assert _within(found.pop("reaction_counts"), COLD)
        life = REGULAR
    assert found
    check(found, life)


def react_and_drain(engine: Engine) -> None:
    engine.reactions.react(USER, 5, "like")
    engine.drain()


def test_use_renews_the_cache_of_a_user(small: Engine) -> None:
    react(small, POST, [USER])
    small.drain()
    name = keys.user_reactions(USER)
    client = small.reactions
    uses: list[Callable[[], object]] = [
        lambda: client.reaction_of(USER, 5),
        lambda: client.reaction_of(USER, 5),
        lambda: client.summaries([POST], USER),
        lambda: react_and_drain(small),
    ]
    for use in uses:
        shorten(small, name)
        use()
        check(lives(small, name), OF_USERS, re.escape(name))


def test_a_feed_of_ready_summaries_renews_the_cache_of_a_user_now_and_then(small: Engine) -> None:
    """Each process does so sixteen times within the TTL, so most of its feeds save a command."""
    react(small, POST, [USER])
    small.drain()
    name = keys.user_reactions(USER)
    small.reactions.summaries([POST], USER)
    other = make_engine(small.settings)
    for engine, renewed in ((small, False), (other, True), (other, False)):
        assert small.client.exists(keys.post_summary(POST))
        shorten(small, name)
        engine.reactions.summaries([POST], USER)
        (left,) = lives(small, name).values()
        assert _within(left, OF_USERS) if renewed else left <= 50
    other.close()


def test_a_reaction_leaves_the_ttl_of_a_summary_alone(small: Engine) -> None:
    """Otherwise a post that is often reacted to would keep it, and nothing would renew the rest."""
    prepare(small, "regular")
    read(small)
    shorten(small, keys.post_summary(POST))
    before = small.client.get(keys.post_summary(POST))
    small.reactions.react(8, POST, "wow")
    assert small.client.get(keys.post_summary(POST)) != before
    assert of_post(small)[SUMMARY] <= 50


def test_a_read_renews_a_hash_whatever_ttl_the_counts_have(small: Engine) -> None:
    """The settings may give counts that a read has cached a much longer TTL."""
    engine = make_engine(with_lives(small.settings, cache_ttl_cold_s=100_000))
    prepare(engine, "regular")
    engine.client.expire(keys.post_reaction_counts(POST), 90_000)
    shorten(engine, f"post:*:{POST}:reactions*")
    engine.reactions.summaries([POST], USER)
    found = of_post(engine)
    engine.close()
    assert found["reactions"] > REGULAR / 2
    assert found["reactions:1"] > REGULAR / 2
