"""A figure that a page or a docstring takes from the code is the one in the code."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from chaos.faults.kinds import KINDS
from chaos.nodes import FAKETIME
from reactions.api import client, cold_reads, lists, relay, stored_reads
from reactions.core import constants
from reactions.core.settings import Settings
from reactions.maintenance import audit, backfill, checker, cleanup, erase, rebuild, reconcile
from reactions.maintenance import refresh as refreshing
from reactions.postgres import connection_pool as postgres_pool
from reactions.postgres import migrate
from reactions.redis import connection_pool, post_cache, summary_cache
from reactions.redis.scripts import writes
from reactions.redis.server_options import VALKEY_OPTIONS
from reactions.tasks.drain import MAX_SHARDS
from tests.house import test_sizes
from tests.support.profiles import SCALES

ROOT = Path(__file__).parents[2]
WORDS = {"ten": 10, "a": 1, "sixteen": 16, "quarter": 4, "tenth": 10, "half": 0.5, "three": 3}

BUDGETS = [found.BUDGET_S for found in (audit, cleanup, erase, rebuild, reconcile, refreshing)]


def default(name: str) -> float:
    return float(Settings.model_fields[name].default)


def of_lua(path: str, name: str) -> float:
    (found,) = re.findall(rf"local {name} = (\d+)", (ROOT / "reactions/lua" / path).read_text())
    return float(found)


VIRAL, LOWER = default("viral_threshold"), default("viral_threshold") * default("viral_hysteresis")

# Page, a sentence with its figures in groups, and these figures in the code.
FIGURES: list[tuple[str, str, tuple[float, ...]]] = [
    ("README.md", r"From ([\d,]+) reactions on, a post is viral", (VIRAL,)),
    ("README.md", r"the newest ([\d,]+) reactors in order", (constants.SAMPLE_SIZE,)),
    ("README.md", r"A warm feed of (\d+) posts takes one", (client.MAX_SUMMARIES,)),
    ("docs/adoption.md", r"waits for up to (a) minute", (backfill.PATIENCE_S / 60,)),
    ("docs/adoption.md", r"stay for (\d+) days as tombstones", (default("tombstone_days"),)),
    ("docs/architecture.md", r"shards wait, up to (\d+) at once", (MAX_SHARDS,)),
    (
        "docs/architecture.md",
        r"next try \((\d+) s, doubling to (\d+) s, half",
        (default("retry_base_s"), default("retry_cap_s")),
    ),
    ("docs/architecture.md", r"from ([\d,]+) reactions, until below ([\d,]+)", (VIRAL, LOWER)),
    ("docs/architecture.md", r"the newest ([\d,]+), in order", (constants.SAMPLE_SIZE,)),
    ("docs/architecture.md", r"From a (tenth) of the threshold", (1 / default("viral_watch"),)),
    ("docs/architecture.md", r"viral within (half) an hour", (default("viral_horizon_s") / 3600,)),
    ("docs/architecture.md", r"lookup: (\d+) posts a script", (post_cache.MAX_POSTS_PER_LOOKUP,)),
    (
        "docs/architecture.md",
        r"beyond ([\d,]+) changes or (ten) such posts",
        (cold_reads.MAX_MERGED_CHANGES, cold_reads.MAX_MERGED_POSTS),
    ),
    ("docs/architecture.md", r"not try it again for (a) second", (stored_reads.DOWN_S,)),
    ("docs/architecture.md", r"A run works for (\d+) s at most", (max(BUDGETS),)),
    (
        "docs/architecture.md",
        r"drained at (\d+) reactions/s or more within (ten) minutes",
        (default("hot_rate"), reconcile.HOT_US / 60e6),
    ),
    ("docs/architecture.md", r"one of the (\d+) newest users", (checker.MAX_CHECKED_USERS,)),
    ("docs/architecture.md", r"tombstones of (\d+) days", (default("tombstone_days"),)),
    ("docs/keyspace.md", r"the load under way \((\d+) s\)", (constants.LOAD_LIFE_MS / 1000,)),
    ("docs/keyspace.md", r"0 for none: up to (\d+)", (constants.MAX_USER_POSTS,)),
    ("docs/keyspace.md", r"reactions are there \(at most (\d+)\)", (constants.MAX_WHOLE_USER,)),
    (
        "docs/keyspace.md",
        r"A hash of up to (\d+) entries is a listpack",
        (float(VALKEY_OPTIONS["hash-max-listpack-entries"]),),
    ),
    (
        "docs/keyspace.md",
        r"for at most (\d+) entries of the outbox",
        (of_lua("include/summary.lua", "MAX_LISTED"),),
    ),
    ("docs/keyspace.md", r"drops a summary of (\d+) bytes or more", (writes.MAX_SUMMARY_BYTES,)),
    ("docs/keyspace.md", r"renews it at most (sixteen) times", (summary_cache.RENEWALS,)),
    (
        "docs/keyspace.md",
        r"Each is (\d+) h, less up to `cache_ttl_jitter` \((\d+) %\)",
        (default("cache_ttl_cold_s") / 3600, 100 * default("cache_ttl_jitter")),
    ),
    ("docs/keyspace.md", r"A type code is 1 to (\d+)", (constants.MAX_CODE,)),
    ("docs/migrations.md", r"`lock_timeout` is therefore (\d+) s", (5,)),
    ("docs/reliability.md", r"`replicas=n`, 0 to (\d+)", (constants.MAX_REPLICAS,)),
    ("docs/reliability.md", r"idle for (\d+) s is replaced", (connection_pool.MAX_IDLE_S,)),
    ("docs/reliability.md", r"idle for (\d+) s is replaced", (postgres_pool.MAX_IDLE_S,)),
    (
        "docs/reliability.md",
        r"read-only connection to PostgreSQL lives (\d+) s",
        (postgres_pool.MAX_READ_ONLY_S,),
    ),
    ("docs/reliability.md", r"deck of (\d+) kinds of faults", (len(KINDS) + (not FAKETIME),)),
    (
        "CONTRIBUTING.md",
        r"`dev` (\d+), `ci` (\d+) \(the default where `CI=true`\), `nightly` ([\d,]+)",
        tuple(100 * SCALES[name] for name in ("dev", "ci", "nightly")),
    ),
    (
        "CONTRIBUTING.md",
        r"at most (\d+) lines, a function (\d+), a Lua file (\d+)",
        (test_sizes.MAX_FILE, test_sizes.MAX_FUNCTION, test_sizes.MAX_SCRIPT),
    ),
    ("react", r"replicas: 0 to (\d+)\.", (constants.MAX_REPLICAS,)),
    ("summaries", r"post_ids: at most (\d+)\.", (client.MAX_SUMMARIES,)),
    ("reactors", r"limit: 1 to (\d+)\.", (client.MAX_PAGE,)),
    ("reactors", r"up to ([\d,]+) for the post", (lists.MAX_LISTED_CHANGES,)),
    ("recent", r"limit: 1 to ([\d,]+),", (constants.SAMPLE_SIZE,)),
    ("history", r"limit: 1 to (\d+)\.", (client.MAX_PAGE,)),
    ("warm", r"post_ids: at most (\d+)\.", (client.MAX_SUMMARIES,)),
    ("warm", r"or (\d+) posts wait in this process", (relay.MAX_WAITING_LOADS,)),
]


def text_of(page: str) -> str:
    """The text of a page, or of the docstring of a method of the client, in one line."""
    if page.endswith(".md"):
        whole = (ROOT / page).read_text("utf-8")
    else:
        whole = inspect.getdoc(getattr(client.Reactions, page)) or ""
    return " ".join(whole.split())


@pytest.mark.parametrize(("page", "sentence", "figures"), FIGURES)
def test_a_figure_is_that_of_the_code(page: str, sentence: str, figures: tuple[float, ...]) -> None:
    found = re.search(sentence, text_of(page))
    assert found, "the sentence is gone: take it out here, too"
    said = tuple(WORDS.get(word) or float(word.replace(",", "")) for word in found.groups())
    assert said == pytest.approx(figures)


def test_a_migration_gives_up_as_soon_as_the_page_says() -> None:
    assert migrate.LOCK_TIMEOUT == "'5s'"
