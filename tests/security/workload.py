"""Everything that the web tier, workers and operators do, once, on small posts of each kind."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any

from click.testing import CliRunner
from redis import Redis

from reactions.api.client import Reactions
from reactions.cli.main import main
from reactions.core.constants import SHARDS
from reactions.core.errors import NotReplicated, PostDeleted
from reactions.core.model import PostTier
from reactions.core.settings import Settings
from reactions.maintenance.audit import CountAudit
from reactions.maintenance.cleanup import Cleanup
from reactions.maintenance.loss_detection import LossDetection
from reactions.maintenance.rebuild import Rebuild
from reactions.maintenance.reconcile import Reconcile
from reactions.maintenance.refresh import RefreshSamples
from reactions.maintenance.virality import ReleaseCalmPosts
from reactions.redis.connection import connect
from reactions.redis.keys import default_keys as keys
from reactions.redis.server_options import eviction_policies
from reactions.redis.server_role import check_primary
from reactions.web.rate_limit import RateLimiter
from tests.support.engine import Engine

REGULAR, HOT, DELETED, SMALL = 1042, 1143, 1044, 1046

COMMANDS = (
    ("verify",),
    ("verify", "--repair"),
    ("inspect", str(HOT)),
    ("rebuild",),
    ("rebuild", f"--post={REGULAR}"),
    ("backfill", "--before=2024-01-31T12:00:00Z"),
    ("deadletters",),
    ("deadletters", "--replay"),
    ("duties",),
    ("rising",),
    ("metrics", "--once"),
    ("clock",),
    ("clock", "--repair"),
)
"""Every command of operators that ends by itself."""

OLD = f"post_id,user_id,type,at_us\n{REGULAR},99,like,1700000000000000\n"
"""The standard input of the backfill."""

HARMLESS = {0, 1}
"""Exit codes. 1 means drift or an invalid dead letter; 2 would mean an unavailable store."""


@dataclass
class Called:
    """Notes which methods of the client are called, so that none is left out."""

    client: Reactions
    methods: set[str] = field(default_factory=set)

    def __getattr__(self, name: str) -> Any:
        self.methods.add(name)
        return getattr(self.client, name)

    def all(self) -> bool:
        public = {name for name in vars(Reactions) if not name.startswith("_")}
        return public - {"close", "relay_stats", "space"} <= self.methods


def write(web: Called) -> None:
    """Make posts of each tier, with every outcome."""
    web.react_many([(user, HOT, "like") for user in range(1, 16)])
    web.react_many([(user, REGULAR, "like") for user in range(1, 9)])
    for post in (DELETED, SMALL):
        web.react_many([(user, post, "wow") for user in range(1, 4)])
    with contextlib.suppress(NotReplicated):
        web.react(1, SMALL, "sad", replicas=1)


def change(web: Called) -> None:
    """Change cached posts: replace, remove and repeat reactions, and add new users to a sample."""
    for post in (REGULAR, HOT):
        web.react(15, post, "love")
        web.react(15, post, "love")
        web.react(3, post, "sad")
        web.unreact(14, post)
        web.unreact(15, post)
        web.react(77, post, "like")
        web.unreact(77, post)
        web.react_many([(user, post, "wow") for user in range(80, 90)])
    web.react_many([(user, SMALL, "like") for user in range(10, 16)])  # this overfills its bucket


def read(web: Called) -> None:
    """Call every read, on posts of each tier."""
    for post in (REGULAR, HOT, SMALL):
        web.counts(post)
        web.reaction_of(2, post)
        web.reactors(post)
        web.reactors(post, "like")
        web.recent(post)
        web.recent(post, 2)
        web.warm([post])
        web.uniques(post)
    web.summaries([REGULAR, HOT, SMALL], 3)
    web.summaries([REGULAR, HOT, SMALL], 4711)
    web.history(3)
    assert web.reaction_types
    assert web.types()


def limit(settings: Settings) -> None:
    """Do what the web tier does by itself: limit writes, and check whether Redis answers."""
    client = connect(settings)
    limiter = RateLimiter(settings, client)
    limiter.pass_or_refuse(1)
    check_primary(client)
    client.close()


def erase(web: Called) -> None:
    """Delete a post, which then refuses reactions, and forget two users."""
    web.delete_post(DELETED)
    with contextlib.suppress(PostDeleted):
        web.react(1, DELETED, "like")
    for user in (3, 89):  # 89 is in the sample
        web.forget_user(user)


def run_duties(engine: Engine) -> None:
    """Run each of Beat's duties once."""
    at = engine.client, engine.database, engine.settings
    reconcile = Reconcile(*at)
    for tier in (PostTier.VIRAL, PostTier.HOT, PostTier.REGULAR):
        reconcile.run(tier)
    RefreshSamples(*at).run()
    CountAudit(*at).run()
    Cleanup(*at).run()
    ReleaseCalmPosts(*at).run()
    engine.outbox_state.overdue(0)
    eviction_policies(engine.client, engine.settings)
    while any(engine.erasure_requests.unfinished()):
        engine.eraser.erase()
        engine.drain()


def step_back(admin: Redis) -> None:
    """Set the epochs back, as if Redis had been restored from an older snapshot."""
    for shard in range(SHARDS):
        epoch: Any = admin.get(keys.outbox_epoch(shard))
        incarnation, tick, at = epoch.decode().split("|")
        admin.set(keys.outbox_epoch(shard), f"{incarnation}|{int(tick) - 1}|{at}")


def recover(engine: Engine) -> None:
    """Do what workers do every few seconds, and after a loss."""
    at = engine.client, engine.database, engine.settings
    LossDetection(*at).run()
    Rebuild(*at).run()
    engine.drain()


def jump(admin: Any, web: Called) -> None:
    """React while the clock of Redis is an hour ahead."""
    seconds, _ = admin.time()
    admin.set(keys.outbox_clock(REGULAR % SHARDS), (int(seconds) + 3600) * 1_000_000)
    web.react(15, REGULAR, "wow")


def operate(settings: Settings) -> None:
    """Run every command of operators."""
    for command in COMMANDS:
        result = CliRunner().invoke(main, command, OLD, env=settings.environment())
        assert result.exit_code in HARMLESS, (command, result.output, result.exception)


def evict(admin: Redis) -> None:
    """Delete every cache key."""
    for key in list(admin.scan_iter(count=10_000)):
        if admin.pttl(key) >= 0:
            admin.delete(key)
