"""``Outbox``: claims, leases, and settlements."""

from __future__ import annotations

import pytest

from reactions.core.model import Row
from reactions.core.settings import Settings
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.outbox import Outbox
from reactions.redis.scripts.drain import SettledPost
from reactions.redis.writes import RedisWrites

POST, SHARD = 1042, 42


@pytest.fixture
def outbox(client: Client, redis_settings: Settings) -> Outbox:
    return Outbox(client, redis_settings)


def react(client: Client, settings: Settings, users: range, post: int = POST) -> None:
    RedisWrites(client, settings).record_many((user, post, 1) for user in users)


def settled_post(post: int, count: int) -> SettledPost:
    return SettledPost(post, 1000, False, 0, {1: count})


def test_a_claim_has_what_was_recorded_and_a_settlement_removes_it(
    outbox: Outbox, client: Client, redis_settings: Settings
) -> None:
    react(client, redis_settings, range(1, 4))
    (claim,), failed = outbox.claim({SHARD: "", 43: ""})  # shard 43 is clean
    assert not failed
    (post,) = claim.posts
    rows = [entry for entry in post.entries or [] if isinstance(entry, Row)]
    assert {(row.post_id, row.user_id, row.reaction) for row in rows} == {
        (POST, user, 1) for user in range(1, 4)
    }
    (settled,) = outbox.settle([claim], {SHARD: [settled_post(POST, 3)]})
    assert not settled.lost
    assert not client.exists(keys.post_claimed(POST), keys.post_pending(POST))
    assert not client.exists(keys.outbox_lease(SHARD), keys.outbox_dirty(SHARD))


def test_a_claim_has_at_most_batch_posts_of_each_shard(
    client: Client, redis_settings: Settings
) -> None:
    for post in range(5):
        for shard in (SHARD, 43):
            react(client, redis_settings, range(1, 3), 1_000 + 100 * post + shard)
    few = Outbox(client, redis_settings.model_copy(update={"batch_posts": 2}))
    claims, failed = few.claim({SHARD: "", 43: ""})
    assert ([len(claim.posts) for claim in claims], failed) == ([2, 2], {})


def test_only_the_token_of_a_claim_takes_it_over(
    outbox: Outbox, client: Client, redis_settings: Settings
) -> None:
    react(client, redis_settings, range(1, 3))
    (claim,), _ = outbox.claim({SHARD: ""})
    assert outbox.claim({SHARD: ""}) == ([], {})
    (again,), _ = outbox.claim({SHARD: claim.token})
    assert again.posts[0].taken_over
    (stale,) = outbox.settle([claim], {SHARD: [settled_post(POST, 2)]})
    assert stale.lost
    assert client.hlen(keys.post_claimed(POST)) == 2


def test_a_lease_is_extended_for_its_owner_only(
    outbox: Outbox, client: Client, redis_settings: Settings
) -> None:
    react(client, redis_settings, range(1, 3))
    (claim,), _ = outbox.claim({SHARD: ""})
    before = client.get(keys.outbox_lease(SHARD))
    outbox.extend_leases({SHARD: "another drain"}, 60.0)
    assert client.get(keys.outbox_lease(SHARD)) == before
    until = claim.lease_until()
    outbox.extend_claims([claim])
    assert client.get(keys.outbox_lease(SHARD)) != before
    assert claim.lease_until() > until


def test_a_shard_that_cannot_be_read_fails_alone(
    outbox: Outbox, client: Client, redis_settings: Settings
) -> None:
    react(client, redis_settings, range(1, 3))
    client.set(keys.outbox_dirty(43), "foreign")
    (claim,), failed = outbox.claim({SHARD: "", 43: ""})
    assert (claim.shard, set(failed)) == (SHARD, {43})


def test_a_scan_ends_when_the_caller_has_trimmed_the_post(
    client: Client, redis_settings: Settings
) -> None:
    outbox = Outbox(client, redis_settings.model_copy(update={"batch_rows": 100}))
    react(client, redis_settings, range(1, 1_001))
    (claim,), _ = outbox.claim({SHARD: ""})
    assert claim.posts[0].entries is None  # too many for one reply
    users = set[int]()
    for fields, entries in outbox.scan(POST):
        users |= {entry.user_id for entry in entries if isinstance(entry, Row)}
        assert not fields or outbox.trim(claim, POST, fields)
    assert users == set(range(1, 1_001))
    assert client.hlen(keys.post_claimed(POST)) == 1  # what keeps the claim until it is settled
