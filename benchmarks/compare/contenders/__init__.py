"""All contenders by their names; this system is the first."""

from __future__ import annotations

from benchmarks.compare.contenders.bare import Bare
from benchmarks.compare.contenders.base import Contender
from benchmarks.compare.contenders.deltas import Deltas
from benchmarks.compare.contenders.ours import Ours
from benchmarks.compare.contenders.postgres_alone import PostgresAlone
from benchmarks.compare.contenders.redis_alone import RedisAlone
from benchmarks.compare.contenders.task_each import TaskEach

ALL: dict[str, Contender] = {
    each.name: each
    for each in (
        Ours(),
        Ours(4, 4),
        Bare(),
        TaskEach(),
        PostgresAlone(1, 1),
        PostgresAlone(4, 4),
        Deltas(),
        RedisAlone(),
    )
}
