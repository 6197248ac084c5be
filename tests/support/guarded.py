"""Servers with authentication: the users and roles of ``deploy/``, with or without TLS."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import trustme
from redis import Redis
from redis.exceptions import RedisError
from sqlalchemy import create_engine, make_url, text

from reactions.demo.embedded import Postgres, Valkey
from reactions.demo.process import free_port
from reactions.redis.server_options import VALKEY_OPTIONS
from tests.support.databases import execute_admin
from tests.support.servers import cluster_options, postgres_binaries, redis_binary, running_postgres
from tests.support.waiting import wait_until

DEPLOY = Path(__file__).parents[2] / "deploy"

PIECES = ("Xq1Jw8", "Zz2Rt5", "Kk3Mn9", "Vv4Bp6", "Ww5Hs7")
PASSWORD = "{}@{}/{}:{}%{}".format(*PIECES)
"""The password of every user. It contains characters with a meaning in URLs; wherever code cuts it,
a leak still contains one of the pieces."""

OPERATED = {**VALKEY_OPTIONS, "maxmemory-policy": "noeviction"}


def user(name: str, password: str = PASSWORD) -> str:
    """Return user and password as a URL needs them."""
    return f"{name}:{quote(password, safe='')}@"


def users_file(path: Path, names: tuple[str, ...]) -> None:
    """Write the users of ``deploy/``, and give these a password, as docs/security.md says."""
    digest = hashlib.sha256(PASSWORD.encode()).hexdigest()
    content = (DEPLOY / "redis-users.acl").read_text("utf-8")
    for name in ("admin", *names):
        assert f"user {name} off" in content
        content = content.replace(f"user {name} off", f"user {name} on #{digest}")
    path.write_text(content)


class Guarded(Valkey):
    """A Valkey or Redis with the users of ``deploy/``."""

    def __init__(
        self,
        folder: Path,
        name: str,
        names: tuple[str, ...],
        *,
        options: Mapping[str, str] = OPERATED,
        binary: Path | None = None,
        tls: trustme.CA | None = None,
    ) -> None:
        users = folder / f"{name}.acl"
        users_file(users, names)
        super().__init__(folder, name, options={**options, "aclfile": str(users)}, binary=binary)
        self.users = users
        self.tls = tls
        self.authority = folder / f"{name}-ca.pem"
        if tls is not None:
            self._options = {**self._options, **self._with_tls(folder, tls)}

    def _with_tls(self, folder: Path, tls: trustme.CA) -> dict[str, str]:
        tls.cert_pem.write_to_path(self.authority)
        cert, key = folder / f"{self.name}.pem", folder / f"{self.name}.key"
        issued = tls.issue_cert("127.0.0.1")
        issued.private_key_pem.write_to_path(key)
        for blob in issued.cert_chain_pems:
            blob.write_to_path(cert, append=True)
        return {
            "port": "0",
            "tls-port": str(self.port),
            "tls-cert-file": str(cert),
            "tls-key-file": str(key),
            "tls-ca-cert-file": str(self.authority),
            "tls-auth-clients": "no",
        }

    def url_of(self, name: str, database: int = 0, password: str = PASSWORD) -> str:
        """Return the URL for one of its users."""
        address = f"{user(name, password)}127.0.0.1:{self.port}/{database}"
        if self.tls is None:
            return f"redis://{address}"
        return f"rediss://{address}?ssl_cert_reqs=required&ssl_ca_certs={self.authority}"

    def admin(self, database: int = 0) -> Redis:
        return Redis.from_url(self.url_of("admin", database))

    def wait_ready(self) -> None:
        with self.admin() as client:
            wait_until(lambda: self._answers(client), what=f"{self.name}: {self.log}")

    def _answers(self, client: Redis) -> bool:
        self.check()
        try:
            return bool(client.ping())
        except RedisError:
            return False


@contextmanager
def running_guarded(
    folder: Path,
    kind: str,
    names: tuple[str, ...],
    *,
    name: str | None = None,
    tls: trustme.CA | None = None,
) -> Iterator[Guarded]:
    """Run a ``valkey``, ``redis`` or ``cluster``, as ``servers.running_redis`` does."""
    server = Guarded(
        folder,
        name or kind,
        names,
        options=cluster_options() if kind == "cluster" else OPERATED,
        binary=redis_binary() if kind == "redis" else None,
        tls=tls,
    )
    if kind == "redis":  # Redis 7.0 does not know a command that came with 7.2
        server.users.write_text(server.users.read_text("utf-8").replace(" +client|setinfo", ""))
    try:
        server.start()
        if kind == "cluster":
            with server.admin() as client:
                client.execute_command("CLUSTER ADDSLOTSRANGE", 0, 16383)
                wait_until(lambda: client.execute_command("CLUSTER INFO")["cluster_state"] == "ok")
        yield server
    finally:
        server.stop()


@dataclass
class Roles:
    """A database with the roles of ``deploy/``."""

    address: str
    """What follows the @ in a URL."""
    admin: str
    """The URL for the superuser."""
    binaries: Path
    server: Postgres

    def url_of(self, role: str, password: str = PASSWORD) -> str:
        return f"postgresql://{user(f'reactions_{role}', password)}{self.address}"

    def apply(self) -> None:
        """Run ``deploy/roles.sql``, as an operator does."""
        command = [str(self.binaries / "psql"), "-q", "-v", "ON_ERROR_STOP=1", "-d", self.admin]
        subprocess.run([*command, "-f", str(DEPLOY / "roles.sql")], check=True)

    def execute(self, statement: str) -> list[tuple[object, ...]]:
        """Execute a statement as the superuser."""
        engine = create_engine(
            self.admin.replace("postgresql:", "postgresql+psycopg2:", 1),
            connect_args={"options": "-c search_path=reactions,public"},
        )
        with engine.begin() as connection:
            result = connection.execute(text(statement))
            rows = [tuple(row) for row in result] if result.returns_rows else []
        engine.dispose()
        return rows


@contextmanager
def running_roles(version: int, *, tls: trustme.CA | None = None) -> Iterator[Roles]:
    """Run a PostgreSQL that requires passwords and, if ``tls`` is given, TLS."""
    with running_postgres(version) as server:
        execute_admin(server.url, "CREATE DATABASE reactions")
        url = make_url(server.url).set(database="reactions")
        socket = str(url.query["host"])
        roles = Roles(
            f"/reactions?host={socket}",
            url.render_as_string(hide_password=False),
            postgres_binaries(version),
            server,
        )
        roles.apply()
        for role in ("owner", "writer", "reader"):
            roles.execute(f"ALTER ROLE reactions_{role} PASSWORD '{PASSWORD}'")
        data = Path(str(server._server.pgdata))
        allowed = "hostssl all all 127.0.0.1/32" if tls else "local all all"
        (data / "pg_hba.conf").write_text(f"local all postgres trust\n{allowed} scram-sha-256\n")
        roles.execute("SELECT pg_reload_conf()")
        if tls is None:
            yield roles
            return
        server.stop()
        server._server._postmaster_info = None  # the embedded server must not stop it
        with _listening(server, roles.binaries, socket, tls) as port:
            roles.address = f"127.0.0.1:{port}/reactions"
            url = url.update_query_dict({"port": str(port)})  # it names the socket
            roles.admin = url.render_as_string(hide_password=False)
            yield roles


@contextmanager
def _listening(server: Postgres, binaries: Path, socket: str, tls: trustme.CA) -> Iterator[int]:
    """Run the same server with TCP and TLS, which the embedded one cannot do."""
    data, owner, port = Path(str(server._server.pgdata)), server._server.system_user, free_port()
    issued = tls.issue_cert("127.0.0.1")
    issued.private_key_pem.write_to_path(data / "server.key")
    for blob in issued.cert_chain_pems:
        blob.write_to_path(data / "server.crt", append=True)
    (data / "server.key").chmod(0o600)
    if owner is not None:
        shutil.chown(data / "server.key", owner)
        shutil.chown(data / "server.crt", owner)
    control = [str(binaries / "pg_ctl"), "-w", "-D", str(data)]
    options = f"-h 127.0.0.1 -p {port} -k {socket} -c ssl=on"
    start = [*control, "-l", str(server.log), "-o", options, "start"]
    subprocess.run(start, user=owner, check=True, stdout=subprocess.DEVNULL, cwd="/")
    try:
        yield port
    finally:
        stop = [*control, "-m", "immediate", "stop"]
        subprocess.run(stop, user=owner, check=True, stdout=subprocess.DEVNULL, cwd="/")


def environment(**settings: str) -> dict[str, str]:
    """Return the environment of a process with exactly these settings."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("REACTIONS_")}
    return kept | {f"REACTIONS_{key.upper()}": value for key, value in settings.items()}
