"""Runs PgBouncer as its package installs it, in front of a test server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg2
from sqlalchemy import make_url

from benchmarks.support.servers import temporary_folder
from reactions.demo.process import free_port
from tests.support.servers import missing
from tests.support.waiting import wait_until

CONFIGURATION = """
[databases]
* = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {connections}
logfile = {folder}/log
pidfile = {folder}/pid
"""


def pgbouncer_binary() -> str:
    """Return Debian's PgBouncer; skip the test if it is missing (fail it in CI)."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if found is None:
        missing("PgBouncer is not installed: apt-get install pgbouncer")
    return found


@contextmanager
def running_pgbouncer(database_url: str, connections: int) -> Iterator[str]:
    """Run PgBouncer in transaction mode; give the URL of the database behind it.

    Args:
        connections: how many connections to PostgreSQL its clients share.
    """
    binary = pgbouncer_binary()
    url = make_url(database_url)
    socket, port = Path(str(url.query["host"])), free_port()
    owner = socket.owner()  # its socket is in its data folder; PgBouncer does not run as root
    with temporary_folder("bouncer") as folder:
        folder.chmod(0o755)
        ini = folder / "pgbouncer.ini"
        ini.write_text(
            CONFIGURATION.format(host=socket, port=port, folder=folder, connections=connections)
        )
        shutil.chown(folder, owner)
        command = [binary, "-q", str(ini)]
        process = subprocess.Popen(command, user=owner, stdout=subprocess.DEVNULL, cwd="/")
        try:
            bounced = f"postgresql://postgres@127.0.0.1:{port}/{url.database}"
            wait_until(lambda: _answers(process, bounced), what=f"PgBouncer: {folder}/log")
            yield bounced
        finally:
            process.terminate()
            process.wait()


def _answers(process: subprocess.Popen[bytes], url: str) -> bool:
    assert process.poll() is None, "PgBouncer has ended"
    with suppress(psycopg2.OperationalError):
        psycopg2.connect(url).close()
        return True
    return False
