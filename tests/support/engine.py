"""Everything that works with one Redis and one PostgreSQL, without Celery."""

from __future__ import annotations

from dataclasses import dataclass

from reactions.api.client import Reactions
from reactions.core.settings import Settings
from reactions.drain.cache_loader import CacheLoader
from reactions.drain.persister import Persister
from reactions.drain.user_loader import UserLoader
from reactions.maintenance.erase import Eraser
from reactions.maintenance.verify import Verification, Verifier
from reactions.postgres.database import Database
from reactions.postgres.dead_letters import DeadLetters
from reactions.postgres.ledger import Ledger
from reactions.postgres.posts import Posts
from reactions.postgres.queries import Queries
from reactions.redis.clock import Clock
from reactions.redis.connection import Client, connect
from reactions.redis.erasure_requests import ErasureRequests
from reactions.redis.outbox import Outbox
from reactions.redis.outbox_state import OutboxState
from reactions.redis.post_cache import PostCache
from reactions.redis.post_snapshots import PostSnapshots
from reactions.redis.user_cache import UserCache
from tests.support.loads import SingleLoads

DEAD_BROKER = "redis://127.0.0.1:1/0"  # nobody listens there, so wake-ups fail immediately


@dataclass
class Engine:
    """Everything that works with one Redis and one PostgreSQL, without Celery."""

    settings: Settings
    client: Client
    reactions: Reactions
    cache: PostCache
    cache_install: SingleLoads
    post_snapshots: PostSnapshots
    outbox: Outbox
    outbox_state: OutboxState
    clock: Clock
    erasure_requests: ErasureRequests
    database: Database
    ledger: Ledger
    dead_letters: DeadLetters
    posts: Posts
    queries: Queries
    persister: Persister
    loader: CacheLoader
    user_loader: UserLoader
    eraser: Eraser

    def drain(self) -> None:
        """Drain every shard until nothing is pending."""
        while self.outbox_state.pending():
            self.persister.drain(range(100))

    def verify(self) -> Verification:
        return Verifier(self.client, self.database, self.settings).verify()

    def close(self) -> None:
        self.reactions.close()
        self.database.close()
        self.client.close()


def make_engine(settings: Settings) -> Engine:
    client = connect(settings)
    database = Database(settings)
    install, queries = SingleLoads(client, settings), Queries(database.for_caches())
    return Engine(
        settings,
        client,
        Reactions(settings),
        PostCache(client, settings),
        install,
        PostSnapshots(client, settings),
        Outbox(client, settings),
        OutboxState(client, settings),
        Clock(client, settings),
        ErasureRequests(client, settings),
        database,
        Ledger(database),
        DeadLetters(database),
        Posts(database),
        queries,
        Persister(client, database, settings),
        CacheLoader(install, queries, settings),
        UserLoader(client, UserCache(client, settings), queries),
        Eraser(client, database, settings),
    )
