"""Reactions of a crowd, and damage that only a duty can find."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import text

from reactions.core.constants import shard_of
from reactions.core.model import PostTier
from reactions.maintenance.compare import Kind
from reactions.maintenance.epochs import Loss
from reactions.postgres.duty_runs import DutyRuns
from reactions.redis.keys import default_keys as keys
from tests.support.engine import Engine
from tests.support.waiting import wait_until
from tests.tasks.flow import Flow

PATIENCE_S = 30
REGULAR, VIRAL = (1001, 1002, 1003, 1004), 1042
FEW, MANY = 6, 25  # users of a regular post, and of a viral one
THRESHOLD = 20
OLD = (
    "SELECT 1 FROM runs WHERE started_at < now() - interval '30 days'"
    " UNION ALL SELECT 1 FROM reactions WHERE reaction = 0 AND version = 1000"
)


def sql(engine: Engine, statement: str, **values: object) -> list[Any]:
    with engine.database.transaction() as connection:
        answer = connection.execute(text(statement), values)
        return list(answer) if answer.returns_rows else []


class Crowd(Flow):
    """A few users react to regular posts, many users to one that becomes viral."""

    def _run(self) -> None:
        while not self._stopping.wait(0.02):
            if self._random.random() < 0.5:
                user, post = self._random.randint(1, 8 * MANY), VIRAL
            else:
                user, post = self._random.randint(1, 2 * FEW), self._random.choice(REGULAR)
            self.act(user, post, self._random.choice(["like", "love", "wow", None]))
            self.acknowledged += 1

    def act(self, user: int, post: int, name: str | None) -> None:
        """React, or remove the reaction, and note the expected row."""
        if name is None:
            self._reactions.unreact(user, post)
            self.expected[post].pop(user, None)
        else:
            self._reactions.react(user, post, name)
            self.expected[post][user] = self._reactions.settings.reaction_types[name]


def sound(engine: Engine, crowd: Crowd, post: int) -> bool:
    """Whether users see the expected counts and sample of a post, and the counts table agrees."""
    expected = crowd.expected[post]
    types = engine.settings.reaction_types
    shown = {types[name]: count for name, count in engine.reactions.counts(post).items()}
    stored = engine.queries.counts([post])[post]
    newest = list(expected.items())[::-1] if len(expected) >= THRESHOLD else None
    return (
        +Counter(shown) == +Counter(stored) == Counter(expected.values())
        and engine.cache.recent(post, MANY) == newest
    )


@dataclass(frozen=True)
class Damage:
    """Damage to a post without new reactions, so that a duty finds it and no drain does."""

    kind: str
    duties: tuple[str, ...]
    """The duties that look for it."""
    do: Callable[[Engine, int], object]
    users: int = FEW
    removed: int = 0
    """How many of the users remove their reaction again."""
    tier: PostTier | None = None
    """The tier to note for the post first."""


def wrong_count(engine: Engine, post: int) -> object:
    return engine.client.hincrby(keys.post_reaction_counts(post), "1", 5)


def wrong_total(engine: Engine, post: int) -> object:
    return engine.client.incrby(keys.post_total_reactions(post), 3)


def wrong_order(engine: Engine, post: int) -> object:
    return engine.client.lmove(keys.post_recent(post), keys.post_recent(post), "RIGHT", "LEFT")


def lost_sample(engine: Engine, post: int) -> object:
    return engine.client.delete(keys.post_reactions(post))


def wrong_row(engine: Engine, post: int) -> object:
    return sql(engine, "UPDATE reaction_counts SET count = count + 7 WHERE post_id = :p", p=post)


def false_alarm(engine: Engine, post: int) -> None:
    """As if the post had been rising, and nobody reacted to it any more."""
    engine.client.set(keys.post_viral(post), "2", px=60_000)
    note_tier(engine, post, PostTier.RISING)


def note_tier(engine: Engine, post: int, tier: PostTier) -> None:
    engine.posts.note_tiers({post: tier}, int(engine.clock.now_us()))


DAMAGES = (
    Damage(Kind.COUNTS, ("reconcile-regular",), wrong_count),
    Damage(Kind.COUNTS, ("reconcile-hot",), wrong_count, tier=PostTier.HOT),
    Damage(Kind.TOTAL, ("reconcile-viral",), wrong_total, MANY),
    Damage(Kind.SAMPLE, ("reconcile-viral", "refresh"), wrong_order, MANY),
    Damage(Kind.MISSING, ("refresh",), lost_sample, MANY),
    Damage(Kind.LEDGER, ("audit",), wrong_row),
    Damage("calm", ("virality",), false_alarm, MANY, removed=MANY - THRESHOLD + 2),
)
Found = Counter[tuple[str, str]]
"""(duty, kind) -> how many differences were found."""


def found(engine: Engine) -> Found:
    totals = DutyRuns(engine.database).totals()
    return Counter({(t.duty, kind): number for t in totals for kind, number in t.kinds.items()})


def found_since(engine: Engine, before: Found, kind: str, duties: tuple[str, ...]) -> bool:
    new = found(engine) - before
    return any(new[duty, kind] for duty in duties)


def cached(engine: Engine, posts: Mapping[int, Damage]) -> bool:
    """Whether these posts have no pending changes, and Redis has the cache of their tier."""
    snapshots = engine.post_snapshots.snapshots(list(posts))
    return all(
        seen.counts
        and not (seen.pending or seen.claimed)
        and (damage.users < THRESHOLD or (seen.sampled and seen.viral and seen.total))
        for damage, seen in zip(posts.values(), snapshots, strict=True)
    )


def break_and_await_repair(engine: Engine, crowd: Crowd, first_post: int) -> None:
    """Do all kinds of damage at once, and wait until duties have found and repaired it."""
    before = found(engine)
    posts = dict(enumerate(DAMAGES, first_post))
    for post, damage in posts.items():
        if damage.tier is not None:
            note_tier(engine, post, damage.tier)
        for user in range(1, damage.users + 1):
            crowd.act(user, post, ("like", "love")[user % 2])
    wait_until(partial(cached, engine, posts), PATIENCE_S, "viral posts")
    for post, damage in posts.items():
        for user in range(1, damage.removed + 1):
            crowd.act(user, post, None)
    wait_until(partial(cached, engine, posts), PATIENCE_S, "something to damage")
    for post, damage in posts.items():
        damage.do(engine, post)
    wrong_count(engine, REGULAR[0])  # a duty or the next reaction
    wrong_order(engine, VIRAL)  # repairs these two
    for post, damage in posts.items():
        seen = partial(found_since, engine, before, damage.kind, damage.duties)
        wait_until(seen, PATIENCE_S, f"{damage.duties} find {damage.kind}")
        wait_until(partial(sound, engine, crowd, post), PATIENCE_S, f"{damage.kind} is repaired")
    lose_an_epoch(engine, before)


def lose_an_epoch(engine: Engine, before: Found) -> None:
    """Lose the epoch of a shard, as a new server has none, and wait until it is recovered."""
    epoch = keys.outbox_epoch(shard_of(VIRAL))

    def noticed() -> bool:
        if found_since(engine, before, Loss.EMPTY, ("loss_detection",)):
            return True
        # Repeat: a run that has already read the epoch writes the next one, and sees no loss.
        engine.client.delete(epoch)
        return False

    wait_until(noticed, PATIENCE_S, "the loss is noticed")
    wait_until(lambda: engine.client.exists(epoch), PATIENCE_S, "the shard has an epoch again")
    rest = "SELECT 1 FROM redis_epochs WHERE rebuild > 0"
    wait_until(lambda: not sql(engine, rest), PATIENCE_S, "the working set is loaded")


def age_and_await_deletion(engine: Engine, crowd: Crowd, post: int) -> None:
    """Leave an old tombstone and an old record, and wait until they are deleted."""
    crowd.act(1, post, "like")
    crowd.act(1, post, None)
    aging = (
        "UPDATE reactions SET version = 1000 WHERE post_id = :post AND reaction = 0"
        " RETURNING user_id"
    )
    wait_until(lambda: sql(engine, aging, post=post), PATIENCE_S, "a tombstone")
    sql(engine, "INSERT INTO runs (duty, started_at) VALUES ('audit', now() - interval '31 days')")
    wait_until(lambda: not sql(engine, OLD), PATIENCE_S, "what is old is deleted")
