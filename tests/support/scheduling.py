"""Which tests run in the same process, so that they share the servers that they start."""

from __future__ import annotations

from pathlib import PurePosixPath

import pytest
from xdist.scheduler import LoadScopeScheduling

STACK = "a stack with Flower"

RABBITMQ = "a RabbitMQ"

TOGETHER = {
    "tests/core/test_rabbitmq.py": RABBITMQ,
    "tests/ops/doctor/test_doctor.py": STACK,
    "tests/ops/doctor/test_rabbitmq.py": RABBITMQ,
    "tests/ops/test_flower.py": STACK,
    "tests/ops/test_metrics.py": STACK,
    "tests/ops/test_stack_logs.py": STACK,
    "tests/postgres": "every version of PostgreSQL",
    "tests/tasks/test_rabbitmq.py": RABBITMQ,
    "tests/web/page": "a stack with a page",
}
"""A file or a folder -> the name of its group. Any other file is a group of its own."""


def group_of(node_id: str) -> str:
    """Return the group of a test."""
    file = node_id.split("::", 1)[0]
    folder = str(PurePosixPath(file).parent)
    return TOGETHER.get(file) or TOGETHER.get(folder) or file


class GroupScheduling(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """xdist gives each group to one process. ``_split_scope`` is the method that it documents."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


class Scheduling:
    """A plugin of pytest: ``--dist loadfile`` goes by groups."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_make_scheduler(self, config: pytest.Config, log: object) -> object | None:
        """Return the scheduler, or None where another ``--dist`` was asked for."""
        if config.getoption("dist") != "loadfile":
            return None
        return GroupScheduling(config, log)
