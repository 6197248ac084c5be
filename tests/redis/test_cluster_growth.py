"""Adding a node as docs/runbook.md says: slots move under writes, and no call fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from benchmarks.support.cluster import Cluster, command, slots_of
from reactions import Reactions
from reactions.core.settings import Settings
from reactions.demo.embedded import Valkey
from tests.docs.fenced import blocks
from tests.support.engine import DEAD_BROKER
from tests.support.servers import missing
from tests.support.waiting import patience, wait_until

pytestmark = pytest.mark.slow

MOVED = (0, 1751)
"""The slots that the page moves: those of shards 3, 10, 14 and others."""


def commands(project: Path) -> list[str]:
    """The commands of the page."""
    (block,) = [
        each for each in blocks(project / "docs" / "runbook.md", "sh") if "MIGRATESLOTS" in each
    ]
    return [line.partition(" #")[0].strip() for line in block.splitlines() if line]


class Writes(threading.Thread):
    """Reacts on every shard until it is stopped.

    Attributes:
        errors: what calls raised.
        rounds: how often it reacted on every shard.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.errors: list[BaseException] = []
        self.rounds = 0
        self._settings = settings
        self._stopping = threading.Event()

    def run(self) -> None:
        with Reactions(self._settings) as reactions:
            while not self._stopping.is_set():
                self.rounds += 1
                try:
                    reactions.react_many((self.rounds, post, "like") for post in range(1, 101))
                    reactions.react(self.rounds, 3, "love")  # its slot moves
                except Exception as error:  # noqa: BLE001 - the test fails with it
                    self.errors.append(error)

    def some_more(self) -> None:
        before = self.rounds
        wait_until(lambda: self.rounds > before + 5, what="some writes")

    def __enter__(self) -> Self:
        self.start()
        self.some_more()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self.join()


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[tuple[Cluster, list[Valkey]]]:
    """A cluster, and two nodes that belong to none yet."""
    cluster = Cluster(tmp_path, 3)
    spare = cluster.spare(tmp_path, 2)
    try:
        cluster.start()
        for node in spare:
            cluster.start_node(node)
        yield cluster, spare
    finally:
        for node in spare:
            node.kill()
        cluster.stop()


def test_the_commands_of_the_page_move_slots_under_writes(
    growing: tuple[Cluster, list[Valkey]], project: Path
) -> None:
    if shutil.which("redis-cli") is None:
        missing("redis-cli is not installed: apt-get install redis-tools")
    cluster, (new, second) = growing
    names = {
        "NODE1:6379": f"127.0.0.1:{cluster.primaries[0].port}",
        "NEW:6379": f"127.0.0.1:{new.port}",
        "REPLICA:6379": f"127.0.0.1:{second.port}",
        "-h NODE1": f"-p {cluster.primaries[0].port}",
        "-h NEW": f"-p {new.port}",
        "NEW_ID": command(new, "CLUSTER MYID").decode(),
    }
    add, ready, _, migrate, progress, replica, _ = [
        re.sub("|".join(names), lambda found: names[found[0]], line) for line in commands(project)
    ]
    settings = Settings(
        redis_url=cluster.url,
        redis_cluster=True,
        broker_url=DEAD_BROKER,
        redis_timeout_s=patience(0.5),
    )
    with Writes(settings) as writes:
        run(add)
        wait_until(lambda: knows(cluster, new.port), what="the node to be known")
        wait_until(lambda: "cluster_state:ok" in run(ready), what="the node to be ready")
        run(migrate)
        wait_until(lambda: "success" in run(progress), what="the slots to move")
        writes.some_more()
    assert writes.errors == []
    ports = slots_of([new])
    assert {ports[slot] for slot in range(*MOVED)} == {new.port}
    run(replica)
    wait_until(lambda: command(second, "ROLE")[0] == b"slave", what="the replica to follow")


def run(line: str) -> str:
    done = subprocess.run(line.split(), capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def knows(cluster: Cluster, port: int) -> bool:
    """Whether every node of the cluster knows the one at this port, and that it is up."""
    for node in cluster.nodes:
        found = command(node, "CLUSTER NODES")
        if f"127.0.0.1:{port}" not in found or not found[f"127.0.0.1:{port}"]["connected"]:
            return False
    return True
