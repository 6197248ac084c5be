"""(c) PostgreSQL alone: row and counter in one transaction, in one round trip.

Tuning: see ``tables``. With 16 clients, commits share flushes of the log. Four processes have four
threads each, so that they do not wait for Python's lock. synchronous_commit is on, as in ours.
"""

from __future__ import annotations

from collections import Counter

from benchmarks.compare.contenders import tables
from benchmarks.compare.contenders.base import Client, Contender
from benchmarks.support.arena import Arena
from reactions.core.settings import Settings


class PostgresAlone(Contender):
    inline = True

    def __init__(self, processes: int, threads: int) -> None:
        clients = processes * threads
        self.name = f"postgres-{clients}"
        self.title = f"(c) PostgreSQL alone, {clients} client{'s' if clients > 1 else ''}"
        self.processes, self.threads = processes, threads

    def prepare(self, arena: Arena) -> None:
        tables.prepare(arena)

    def connect(self, settings: Settings) -> Client:
        return tables.Session(settings)

    def tally(self, arena: Arena) -> tuple[Counter[int], Counter[int]]:
        return tables.tally(arena)
