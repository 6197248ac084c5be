"""The tests of ``reactions/ROOM/.../NAME.py`` are found by its name: ``tests/ROOM/test_NAME.py``.

A module without a test file of its name stands in ``ELSEWHERE`` with the file that tests it. An
entry that is not needed any more fails the test, so the table only shrinks.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]

ELSEWHERE = {
    "reactions/aio/call.py": "tests/aio/test_lane.py",
    "reactions/aio/line.py": "tests/aio/test_lane.py",
    "reactions/cli/foreground.py": "tests/cli/test_main.py",
    "reactions/cli/migrate.py": "tests/cli/test_main.py",
    "reactions/cli/web.py": "tests/web/test_serve.py",
    "reactions/core/blocking.py": "tests/aio/test_threads.py",
    "reactions/core/celery_app.py": "tests/tasks/test_celery_config.py",
    "reactions/core/model.py": "tests/api/test_client.py",
    "reactions/core/resources.py": "tests/house/test_wheel.py",
    "reactions/core/settings_text.py": "tests/core/test_settings.py",
    "reactions/core/type_registry.py": "tests/api/test_known_types.py",
    "reactions/demo/baseline.py": "tests/cli/test_main.py",
    "reactions/demo/process.py": "tests/cli/test_main.py",
    "reactions/demo/services.py": "tests/cli/test_main.py",
    "reactions/demo/signals.py": "tests/cli/test_main.py",
    "reactions/demo/stack.py": "tests/cli/test_main.py",
    "reactions/demo/state_folder.py": "tests/cli/test_main.py",
    "reactions/ops/doctor/findings.py": "tests/ops/doctor/test_doctor.py",
    "reactions/ops/doctor/spaces.py": "tests/cli/test_spaces.py",
    "reactions/postgres/erasure.py": "tests/maintenance/test_erase.py",
    "reactions/postgres/list_queries.py": "tests/postgres/test_queries.py",
    "reactions/postgres/locks.py": "tests/postgres/test_ledger.py",
    "reactions/postgres/replica.py": "tests/api/test_replica_reads.py",
    "reactions/postgres/stored.py": "tests/maintenance/test_compare.py",
    "reactions/redis/exchanger.py": "tests/aio/test_client.py",
    "reactions/redis/pipeline.py": "tests/redis/test_connection.py",
    "reactions/redis/replies.py": "tests/system/test_model.py",
    "reactions/redis/scripts/drain.py": "tests/lua",
    "reactions/redis/scripts/loading.py": "tests/lua",
    "reactions/redis/scripts/lookups.py": "tests/lua",
    "reactions/redis/scripts/markers.py": "tests/lua",
    "reactions/redis/scripts/writes.py": "tests/lua",
    "reactions/redis/type_copy.py": "tests/api/test_known_types.py",
    "reactions/redis/writes.py": "tests/system/test_model.py",
    "reactions/tasks/app.py": "tests/tasks/test_worker_process.py",
    "reactions/tasks/audit.py": "tests/tasks/test_two_beats.py",
    "reactions/tasks/cleanup.py": "tests/tasks/test_two_beats.py",
    "reactions/tasks/erase.py": "tests/tasks/test_two_beats.py",
    "reactions/tasks/load.py": "tests/tasks/test_forged_tasks.py",
    "reactions/tasks/loss_detection.py": "tests/tasks/test_two_beats.py",
    "reactions/tasks/reconcile.py": "tests/tasks/test_two_beats.py",
    "reactions/tasks/refresh.py": "tests/tasks/test_two_beats.py",
    "reactions/tasks/virality.py": "tests/tasks/test_two_beats.py",
    "reactions/web/ids.py": "tests/web/test_problems.py",
    "reactions/web/page/burst.py": "tests/web/page/test_browser.py",
    "reactions/web/page/ids.py": "tests/web/page/test_browser.py",
    "reactions/web/page/samples.py": "tests/web/page/test_browser.py",
    "reactions/web/schemas.py": "tests/web/test_openapi.py",
    "reactions/web/shutdown.py": "tests/web/test_serve.py",
}
"""Module -> the file or folder where its tests are."""


def modules() -> Iterator[Path]:
    """The modules in the rooms of the package; an ``__init__.py`` or ``__main__.py`` is none."""
    for path in sorted((ROOT / "reactions").glob("*/**/*.py")):
        if not path.stem.startswith("__"):
            yield path.relative_to(ROOT)


def untested() -> set[str]:
    """The modules that have no test file of their name in their room."""
    return {
        module.as_posix()
        for module in modules()
        if not any((ROOT / "tests" / module.parts[1]).rglob(f"test_{module.stem}.py"))
    }


def test_each_module_has_a_test_file_of_its_name() -> None:
    assert not untested() - set(ELSEWHERE), "add the test file, or an entry in ELSEWHERE"


def test_no_entry_is_left_that_is_not_needed() -> None:
    assert not set(ELSEWHERE) - untested(), "remove these from ELSEWHERE"


def test_each_entry_names_tests_that_exist() -> None:
    assert not [place for place in ELSEWHERE.values() if not (ROOT / place).exists()]
