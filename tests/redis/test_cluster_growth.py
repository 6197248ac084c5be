"""Adding a node as docs/runbook.md says: slots move under writes, and no call fails."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from benchmarks.support.cluster import Cluster, command, slots_of
from reactions import Reactions
from reactions.core.settings import Settings
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


def test_the_commands_of_the_page_move_slots_under_writes(tmp_path: Path, project: Path) -> None:
    if shutil.which("redis-cli") is None:
        missing("redis-cli is not installed: apt-get install redis-tools")
    cluster = Cluster(tmp_path, 3)
    spare = cluster.spare(tmp_path, 2)
    try:
        cluster.start()
        for node in spare:
            cluster.start_node(node)
        names = {
            "NODE1:6379": f"127.0.0.1:{cluster.primaries[0].port}",
            "NEW:6379": f"127.0.0.1:{spare[0].port}",
            "REPLICA:6379": f"127.0.0.1:{spare[1].port}",
            "-h NODE1": f"-p {cluster.primaries[0].port}",
            "-h NEW": f"-p {spare[0].port}",
            "NEW_ID": command(spare[0], "CLUSTER MYID").decode(),
        }
        add, ready, _, migrate, progress, replica, _ = [
            re.sub("|".join(names), lambda found: names[found[0]], line)
            for line in commands(project)
        ]
        settings = Settings(
            redis_url=cluster.url,
            redis_cluster=True,
            broker_url=DEAD_BROKER,
            redis_timeout_s=patience(0.5),
        )
        with Reactions(settings) as reactions:
            stopping, errors, written = threading.Event(), list[BaseException](), [0]

            def write() -> None:
                while not stopping.is_set():
                    written[0] += 1
                    try:
                        reactions.react_many((written[0], post, "like") for post in range(1, 101))
                        reactions.react(written[0], 3, "love")  # its slot moves
                    except Exception as error:  # noqa: BLE001 - the test fails with it
                        errors.append(error)

            writer = threading.Thread(target=write)
            writer.start()
            try:
                wait_until(lambda: written[0] > 10, what="the writer to write")
                run(add)
                wait_until(lambda: knows(cluster, spare[0].port), what="the node to be known")
                wait_until(lambda: "cluster_state:ok" in run(ready), what="the node to be ready")
                run(migrate)
                wait_until(lambda: "success" in run(progress), what="the slots to move")
                before = written[0]
                wait_until(lambda: written[0] > before + 5, what="writes to the new node")
            finally:
                stopping.set()
                writer.join()
            assert errors == []
        assert {slots_of([spare[0]])[slot] for slot in range(*MOVED)} == {spare[0].port}
        run(replica)
        wait_until(lambda: command(spare[1], "ROLE")[0] == b"slave", what="the replica to follow")
    finally:
        for node in spare:
            node.kill()
        cluster.stop()


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
