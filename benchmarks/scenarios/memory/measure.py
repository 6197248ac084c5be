"""Measures posts, users and deleted posts of one size on a store."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.scenarios.memory.figures import Each, Regular, Viral
from benchmarks.scenarios.memory.store import Store, user_ids
from benchmarks.scenarios.memory.store import post_ids as ids_of_posts
from benchmarks.support.ids import spread_id
from benchmarks.support.output import Show
from benchmarks.support.post_keys import memory_usage
from reactions.core.constants import SHARDS
from reactions.core.model import Row
from reactions.redis import buckets
from reactions.redis.keys import default_keys as keys
from reactions.redis.pipeline import run_many
from reactions.redis.scripts import writes


class Bench:
    """Measures on one server, with about ``budget`` reactions for one figure.

    Args:
        step: reactions of a growing post between two drains.
    """

    def __init__(self, store: Store, budget: int, step: int, show: Show) -> None:
        self.name = store.name
        self._store = store
        self._budget = budget
        self._step = step
        self._show = show

    # -- regular posts -------------------------------------------------------------------------

    def loaded(self, bits: int, size: int) -> Regular:
        """Posts that the cache loader has installed."""
        store = self._store
        before = store.clean()
        post_ids = ids_of_posts(bits, self._posts_for(size, buckets.count_for(size) + 1))
        store.load([(post_id, store.rows(bits, size)) for post_id in post_ids])
        return self._regular(bits, "loaded", size, post_ids, store.used() - before)

    def plain(self, bits: int, size: int) -> Regular:
        """The same entries in one plain hash a post, and the counts in another; both with a TTL."""
        store = self._store
        before = store.clean()
        post_ids = ids_of_posts(bits, self._posts_for(size, 2))
        for post_id in post_ids:
            rows = store.rows(bits, size)
            counts = {code: sum(1 for c in rows.values() if c == code) for code in store.codes}
            with store.client.pipeline(transaction=False) as pipe:
                for name, fields in (
                    (keys.post_reactions(post_id), rows),
                    (keys.post_reaction_counts(post_id), counts),
                ):
                    pipe.hset(name, mapping={str(f): v for f, v in fields.items()})
                    pipe.pexpire(name, store.settings.cache_ttl_regular_s * 1000)
                pipe.execute()
        return self._regular(bits, "plain", size, post_ids, store.used() - before)

    def grown(self, bits: int, sizes: Sequence[int]) -> Iterator[Regular]:
        """Posts that grow by reactions and drains, measured at each of these sizes."""
        store = self._store
        before = store.clean()
        post_ids = ids_of_posts(bits, max(1, self._budget // max(sizes)))
        now = 0
        for size in sizes:
            while now < size:
                until = min(size, now + self._step)
                store.react(
                    (user, post_id)
                    for user in user_ids(bits, now + 1, until)
                    for post_id in post_ids
                )
                store.drain()
                now = until
            store.complete(post_ids)
            yield self._regular(bits, "grown", size, post_ids, store.used() - before)

    def _regular(
        self, bits: int, way: str, size: int, post_ids: Sequence[int], used: int
    ) -> Regular:
        names = [name for p in post_ids for name in self._store.keys_of(p)]
        with self._store.client.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.object("encoding", name)
            encodings = pipe.execute()
        hashes = [
            encoding
            for name, encoding in zip(names, encodings, strict=True)
            if b"reaction_counts" not in name
        ]
        return Regular(
            self.name,
            bits,
            way,
            size,
            len(post_ids),
            round(len(names) / len(post_ids), 2),
            round(used / len(post_ids) / size, 2),
            round(used / len(post_ids), 1),
            round(sum(encoding == b"hashtable" for encoding in hashes) / len(hashes), 3),
        )

    def _posts_for(self, size: int, keys_each: int) -> int:
        """The number of posts whose keys fill the servers' tables well (see ``command``)."""
        posts = 0
        for power in range(2, 40):
            wanted = round(5.5 * 2**power / keys_each)
            if posts and wanted * size > self._budget:
                break
            posts = max(1, wanted)
        return posts

    # -- viral posts, users, deleted posts -----------------------------------------------------

    def viral(self, bits: int, reactors: int) -> Viral:
        """One post with so many distinct reactors, which grew by reactions and drains."""
        store = self._store
        store.clean()
        post_id = spread_id(1, bits)
        phase = f"{self.name}, {bits} bits: viral"
        for first in range(1, reactors + 1, 2_000):
            last = min(first + 1_999, reactors)
            store.react((user, post_id) for user in user_ids(bits, first, last))
            store.drain()
            self._show(phase, last, reactors)
        names = store.keys_of(post_id)
        by_key: dict[str, int] = {}
        for name in names:
            part = name.decode().split(":")[3]
            by_key[part] = by_key.get(part, 0) + memory_usage(store.client, name)
        full = store.used()
        store.client.unlink(*names)
        return Viral(self.name, bits, reactors, full - store.used(), sum(by_key.values()), by_key)

    def user(self, bits: int, number: int) -> Each:
        """A user's hash with so many reactions, written as drains write it."""
        store = self._store
        before = store.clean()
        users = self._posts_for(number, 1)
        post_ids = ids_of_posts(bits, number)
        until = int(store.clock.now_us()) + 600_000_000
        for first in range(1, users + 1, 100):
            last = min(users, first + 99)
            store.users.write_through(
                [
                    Row(post_id, user_id, store.chance.choice(store.codes), 1)
                    for user_id in user_ids(bits, first, last)
                    for post_id in post_ids
                ],
                until,
            )
        return Each(self.name, bits, number, round((store.used() - before) / users, 1))

    def deleted(self, bits: int, number: int) -> Each:
        """The entry that a deleted post leaves after its rows are erased."""
        store = self._store
        before = store.clean()
        post_ids = ids_of_posts(bits, number)
        for at in range(0, number, 1_000):
            run_many(store.client, [writes.delete(keys, p) for p in post_ids[at : at + 1_000]])
        for shard in range(SHARDS):
            store.client.delete(keys.outbox_deletions(shard))  # the eraser empties this list
        return Each(self.name, bits, number, round((store.used() - before) / number, 1))
