"""(c) PostgreSQL alone: row and counter in one transaction, in one round trip.

Tuned: see ``tables``. With 16 clients commits share the flush of the log; four processes of four
threads, so that Python's lock is not what they wait for. synchronous_commit is on, as ours.
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
