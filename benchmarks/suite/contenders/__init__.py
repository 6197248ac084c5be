"""Every contender, by its name, ours first."""

from __future__ import annotations

from benchmarks.suite.contenders.bare import Bare
from benchmarks.suite.contenders.base import Contender
from benchmarks.suite.contenders.deltas import Deltas
from benchmarks.suite.contenders.ours import Ours
from benchmarks.suite.contenders.postgres_alone import PostgresAlone
from benchmarks.suite.contenders.redis_alone import RedisAlone
from benchmarks.suite.contenders.task_each import TaskEach

ALL: dict[str, Contender] = {
    each.name: each
    for each in (
        Ours(),
        Bare(),
        TaskEach(),
        PostgresAlone(1, 1),
        PostgresAlone(4, 4),
        Deltas(),
        RedisAlone(),
    )
}
