"""Foreign values in the keys: a call answers or raises ScriptError, and other posts still work."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest
from redis import Redis

from reactions.core.errors import BatchInterrupted, ReactionsError, ScriptError
from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.demo.embedded import Postgres, Valkey
from reactions.drain.batch import DrainFailed
from reactions.maintenance.checker import PostChecker
from reactions.maintenance.loss_detection import LossDetection
from reactions.redis.cache_install import CacheInstall
from reactions.redis.claims import BadEntry
from reactions.redis.keys import Keys
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox import Outbox
from reactions.redis.quarantine import CACHED, KEPT, OF_SHARD, SUFFIX, Quarantine
from reactions.redis.scripts import writes
from tests.support.databases import own_database
from tests.support.engine import DEAD_BROKER, Engine, make_engine
from tests.support.waiting import bounded

USER, SHARD = 7, 42
SLOW_S = 2.0  # far above the time of any call
TRIES = 4
VIRAL = 10

# Every key of the keyspace -> its type, including keys that Quarantine does not check.
TYPES: Mapping[Callable[[Keys, int], str], str] = {
    **CACHED,
    **KEPT,
    **OF_SHARD,
    Keys.outbox_confirmed: "string",
    Keys.user_reactions: "hash",
    Keys.user_loading: "string",
    Keys.user_allowance: "string",
}

TEXTS = [b"", b"-1", b"1e300", b"nan", b"\xff\0|1|" + b"9" * 30]
HASHES: list[dict[bytes, bytes]] = [
    {b"a": b"b", b"7": b"x", b"\xff": b"\xfe", b"-3": b"1:2", b"1": b"", b"3": b"1:nan"},
    {b"7": b"1:" + b"9" * 400, b"8": b"9" * 400 + b":1", b"9" * 30: b"1:1", b"007": b"1:1"},
    *({b"0": mark, b"7": b"1", b"8": b"zz"} for mark in (b"1000000000", b"-1e300", b"inf", b"1.5")),
]
MEMBERS = {b"a": 1.0, b"\xff": float("inf"), b"-3": -float("inf"), b"9" * 19: 2.0, b"": 3.0}

Plant = Callable[[Redis, str], object]


def plants(kind: str) -> Iterator[Plant]:
    """Ways to spoil a key: another type first, then values that the engine never writes."""
    yield lambda redis, key: redis.xadd(key, {"a": "b"})
    if kind == "string":
        yield lambda redis, key: redis.rpush(key, "a", "7")
        for text in TEXTS:
            yield lambda redis, key, text=text: redis.set(key, text)  # type: ignore[misc]
        return
    yield lambda redis, key: redis.set(key, "garbage")
    if kind == "hash":
        for fields in HASHES:
            yield lambda redis, key, fields=fields: redis.hset(key, mapping=fields)  # type: ignore[misc]
    if kind == "zset":
        yield lambda redis, key: redis.zadd(key, MEMBERS)
    if kind == "set":
        yield lambda redis, key: redis.sadd(key, *MEMBERS)
    if kind == "list":
        yield lambda redis, key: redis.rpush(key, *MEMBERS)


@pytest.fixture(scope="module")
def spoilt(valkey: Valkey, postgres: Postgres) -> Iterator[Engine]:
    with own_database(postgres.url) as url:
        settings = Settings(
            redis_url=valkey.url,
            database_url=url,
            broker_url=DEAD_BROKER,
            viral_threshold=VIRAL,
            lease_s=0.06,
            retry_cap_s=0.06,
        )
        engine = make_engine(settings)
        yield engine
        engine.close()


_posts = itertools.count(1)


class Scene:
    """A post with pending changes, another one in its shard, and one in another shard."""

    def __init__(self, engine: Engine, *, viral: bool) -> None:
        number = next(_posts) * 1_000
        self.engine = engine
        self.post, self.other, self.far = number + SHARD, number + 100 + SHARD, number + 43
        engine.client.flushdb()
        reactions = engine.reactions
        users = range(1, 1 + (VIRAL + 2 if viral else 3))
        reactions.react_many([(user, self.post, "like") for user in users])
        engine.persister.drain([SHARD])
        reactions.summaries([self.post], USER)
        for post_id in (self.post, self.other, self.far):
            reactions.react(USER, post_id, "wow")

    def key(self, name: Callable[[Keys, int], str]) -> str:
        _, parameter = inspect.signature(name).parameters
        return name(keys, {"post_id": self.post, "user_id": USER, "shard": SHARD}[parameter])

    def calls(self) -> list[Callable[[], object]]:
        client, post = self.engine.reactions, self.post
        return [
            lambda: client.react(USER, post, "love"),
            lambda: client.unreact(8, post),
            lambda: client.react_many([(9, post, "sad")]),
            lambda: client.counts(post),
            lambda: client.summaries([post, self.other], USER),
            lambda: client.reaction_of(USER, post),
            lambda: client.reactors(post),
            lambda: client.recent(post),
            lambda: client.history(USER),
            lambda: client.uniques(post),
            lambda: writes.limit(keys, USER, 1, 1_000).run(self.engine.client),
        ]

    def drain(self) -> None:
        """Drain as the task does: each try passes on the tokens of the try before."""
        tokens: dict[int, str] = {}
        for _ in range(TRIES):
            try:
                self.engine.persister.drain([SHARD, SHARD + 1], tokens)
            except DrainFailed as failure:
                tokens = failure.tokens
            else:
                return
        pytest.fail(f"still failing after {TRIES} tries")


def test_every_key_is_spoilt() -> None:
    known = {
        function
        for name, function in inspect.getmembers(Keys, inspect.isfunction)
        if not name.startswith("_")
        and name not in ("post_prefix", "bucket", "post_loaded", "of_post", "of_reaction")
        # tests/api/test_known_types.py and tests/redis/test_layout.py spoil these
        and name not in ("outbox_types", "outbox_layout")
    }
    assert set(TYPES) == known


@pytest.mark.parametrize(
    ("name", "viral"),
    [*((name, False) for name in TYPES), *((name, True) for name in CACHED)],
    ids=lambda value: getattr(value, "__name__", "viral" if value else "regular"),
)
def test_a_spoilt_key_stops_nothing_else(
    spoilt: Engine, name: Callable[[Keys, int], str], viral: bool
) -> None:
    for plant in plants(TYPES[name]):
        scene = Scene(spoilt, viral=viral)
        spoilt.client.delete(scene.key(name))
        plant(spoilt.client, scene.key(name))  # type: ignore[arg-type] # no cluster here
        for call in scene.calls():
            with bounded(SLOW_S), suppress(ScriptError, BatchInterrupted):
                call()
        if name in OF_SHARD:  # every few seconds
            LossDetection(spoilt.client, spoilt.database, spoilt.settings).run()
        if name is Keys.outbox_dirty:  # the list of dirty posts is lost, so list the post again
            spoilt.outbox_state.list_post(scene.other)
        scene.drain()
        rows = spoilt.queries.reactions([scene.other, scene.far])
        assert rows == {scene.other: {USER: 4}, scene.far: {USER: 4}}
        spoilt.reactions.react(1, scene.other, "sad")  # the shard still works
        scene.drain()
        assert spoilt.queries.reactions([scene.other])[scene.other] == {USER: 4, 1: 5}


@pytest.mark.parametrize("name", OF_SHARD, ids=lambda name: name.__name__)
def test_loss_detection_repairs_a_shard_that_nobody_drains(
    spoilt: Engine, name: Callable[[Keys, int], str]
) -> None:
    scene = Scene(spoilt, viral=False)
    spoilt.client.delete(name(keys, SHARD))
    spoilt.client.xadd(name(keys, SHARD), {"a": "b"})
    assert spoilt.outbox_state.states()  # the sweep still works
    LossDetection(spoilt.client, spoilt.database, spoilt.settings).run()
    assert not isinstance(spoilt.client.type(name(keys, SHARD)), Exception)
    assert spoilt.client.type(name(keys, SHARD)) != b"stream"
    assert spoilt.client.type(name(keys, SHARD) + SUFFIX) == b"stream"  # an operator may restore it
    scene.engine.reactions.react(2, scene.post, "sad")
    scene.engine.reactions.counts(scene.post)


@pytest.mark.parametrize("plant", [*plants("hash")][:2])
def test_a_duty_isolates_a_key_that_it_cannot_read(spoilt: Engine, plant: Plant) -> None:
    scene = Scene(spoilt, viral=False)
    scene.drain()
    key = keys.post_reaction_counts(scene.post)
    spoilt.client.delete(key)
    plant(spoilt.client, key)  # type: ignore[arg-type]
    checker = PostChecker(spoilt.client, spoilt.database, spoilt.settings)
    with pytest.raises(ScriptError):
        checker.check([scene.post, scene.other], give_way=True)
    assert set(checker.check([scene.post, scene.other], give_way=True).decided) == {
        scene.post,
        scene.other,
    }


def test_valid_keys_stay_unchanged(spoilt: Engine) -> None:
    scene = Scene(spoilt, viral=True)
    before = dump(spoilt)
    quarantine = Quarantine(spoilt.client, spoilt.settings)
    assert quarantine.isolate_wrong_types() == []
    assert quarantine.isolate(range(100), [scene.post, scene.far]) == []
    assert dump(spoilt) == before


def dump(engine: Engine) -> dict[Any, Any]:
    client: Any = engine.client
    return {key: client.dump(key) for key in client.keys("*")}


@pytest.mark.parametrize("member", [b"abc", b"007", b"-5", b"1e3", b"9" * 19, b"9" * 20, b"\xff"])
def test_an_invalid_post_does_not_stop_its_shard(spoilt: Engine, member: bytes) -> None:
    scene = Scene(spoilt, viral=False)
    spoilt.client.zadd(keys.outbox_dirty(SHARD), {member: 0})
    strange = keys.post_prefix(SHARD).encode() + member + b":pending"
    spoilt.client.hset(strange, "7", "1:1")
    scene.drain()
    assert spoilt.queries.reactions([scene.other])[scene.other] == {USER: 4}
    assert spoilt.client.zscore(keys.outbox_dirty(SHARD), member) is None


@pytest.mark.parametrize("clock", [b"1e300", b"inf", b"nan", b"9" * 17, b"-inf"])
def test_an_impossible_clock_gives_no_impossible_version(spoilt: Engine, clock: bytes) -> None:
    scene = Scene(spoilt, viral=False)
    spoilt.client.set(keys.outbox_clock(SHARD), clock)
    first, second = (spoilt.reactions.react(n, scene.other, "sad").version for n in (1, 2))
    assert 0 < (first or 0) < (second or 0) < 2**53
    assert spoilt.clock.bound_versions().highest < 2**53


@pytest.mark.parametrize(
    ("user", "value"),
    [
        (b"7", b" 1:5"), (b"7", b"+1:5"), (b"7", b"1_0:5"), (b"7", b"-1:5"), (b"7", b"1:5 "),
        (b"7", b"1:" + b"9" * 5_000), (b"-7", b"1:5"), (b"0", b"1:5"), (b"07", b"1:5"),
        (b"9" * 19, b"1:5"), (b"\xd9\xa7", b"1:5"), (b"7", b"1:\xd9\xa5"),
    ],
)  # fmt: skip
def test_a_bad_entry_goes_to_the_dead_letters(spoilt: Engine, user: bytes, value: bytes) -> None:
    scene = Scene(spoilt, viral=False)
    scene.drain()
    spoilt.client.hset(keys.post_pending(scene.post), mapping={user: value, b"5": b"1:6"})
    spoilt.outbox_state.list_post(scene.post)
    (claim,), _ = Outbox(spoilt.client, spoilt.settings).claim({SHARD: ""})
    entries = claim.posts[0].entries or []
    assert [type(entry) for entry in entries].count(BadEntry) == 1
    assert Row(scene.post, 5, 1, 6) in entries


def test_a_mark_of_a_billion_buckets_is_quick(spoilt: Engine) -> None:
    """A loop over all those buckets would block the server for minutes."""
    scene = Scene(spoilt, viral=False)
    first = keys.post_reactions(scene.post)
    for mark in (b"1000000000", b"-1000000000", b"1e300", b"inf", b"-inf", b"nan"):
        spoilt.client.hset(first, "0", mark)
        with bounded(SLOW_S):
            with suppress(ReactionsError):
                spoilt.reactions.summaries([scene.post], USER)
            CacheInstall(spoilt.client, spoilt.settings).drop(scene.post)
