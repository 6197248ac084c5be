"""Workers and beats of ``tests/tasks/hasty.py``."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis import Redis

from reactions.core.settings import Settings
from tests.support.nodes import CeleryProcess, LocalContainer, LocalWorker, running


@dataclass
class Hasty:
    """Workers and beats of ``tests/tasks/hasty.py``."""

    workers: list[CeleryProcess] = field(default_factory=list)
    beats: list[CeleryProcess] = field(default_factory=list)


@contextmanager
def hasty(
    settings: Settings, folder: Path, *, workers: int, children: int, **variables: float
) -> Iterator[Hasty]:
    """Workers and two beats without a lock, started together.

    Args:
        children: processes of each worker.
        variables: of ``tests/tasks/hasty.py``.
    """
    env = {
        **settings.environment(),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        **{name: str(value) for name, value in variables.items()},
    }
    made = Hasty()
    for number in range(workers):
        options = [f"--concurrency={children}", f"--queues={LocalWorker.worker_queue()}"]
        options += ["--without-gossip", "--without-mingle", f"--hostname=hasty-{number}@%h"]
        command = hasty_command("worker", *options)
        made.workers.append(CeleryProcess(f"worker-{number}", folder, command, env, "ready."))
    for number in range(2):
        schedule = f"--schedule={folder / f'schedule-{number}'}"
        command = hasty_command("beat", "--scheduler=celery.beat:PersistentScheduler", schedule)
        made.beats.append(CeleryProcess(f"beat-{number}", folder, command, env, "beat: Starting"))
    containers = map(LocalContainer, [*made.workers, *made.beats])
    with ExitStack() as stack, ThreadPoolExecutor() as pool:
        list(pool.map(stack.enter_context, map(running, containers)))
        yield made


def hasty_command(command: str, *options: str) -> list[str]:
    celery = [sys.executable, "-m", "celery", "-A", "tests.tasks.hasty"]
    return [*celery, command, "--loglevel=INFO", "--pidfile=", *options]


def sent(beat: CeleryProcess) -> Counter[str]:
    """How often a beat sent each entry of its schedule."""
    return Counter(re.findall(r"Sending due task (\S+) ", beat.output()))


def idle(broker: Redis) -> bool:
    """Whether no message waits, and no worker has one."""
    queues = LocalWorker.worker_queue().split(",")
    return not sum(broker.llen(queue) for queue in queues) and not broker.hlen("unacked")
