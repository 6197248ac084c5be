"""TLS to each store and the broker, configured in the URL; an unverified server is refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kombu.pools
import pytest
import trustme
from kombu.exceptions import OperationalError
from redis import Redis
from sqlalchemy import text

from reactions.core.celery_app import DRAIN, make_publisher
from reactions.core.errors import ReactionsUnavailable
from reactions.core.settings import Settings
from reactions.postgres.database import Database
from reactions.redis.connection import connect, translated
from tests.support.guarded import Guarded, Roles, running_guarded, running_roles

pytestmark = pytest.mark.slow

USERS = ("reactions-worker", "reactions-broker")

CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The certificate of a CA that has signed none of the servers' certificates."""
    path = tmp_path_factory.mktemp("other") / "other.pem"
    trustme.CA().cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def server(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Debian's Redis, because the Valkey of the wheel lacks TLS."""
    folder = tmp_path_factory.mktemp("tls")
    with running_guarded(folder, "redis", USERS, tls=authority) as running:
        yield running


@pytest.fixture(scope="module")
def roles(authority: trustme.CA) -> Iterator[Roles]:
    """Debian's PostgreSQL, because those of the wheel lack TLS."""
    with running_roles(15, tls=authority) as running:
        yield running


def changed(url: str, how: str, other: Path) -> str:
    """Return a wrong variant of a correct URL."""
    bare = url.partition("?")[0]
    return {
        "another CA": f"{bare}?ssl_cert_reqs=required&ssl_ca_certs={other}",
        "no CA": bare,
        "another host": url.replace("127.0.0.1", "localhost"),
        "no TLS": bare.replace("rediss:", "redis:"),
        "no file": f"{bare}?ssl_ca_certs=/nowhere.pem",
    }[how]


STORE = [
    ("another CA", f"{CERTIFICATE}.*ssl_ca_certs must name"),
    ("no CA", f"{CERTIFICATE}.*ssl_ca_certs must name"),
    ("another host", f"{CERTIFICATE}.*Hostname mismatch"),
    ("no TLS", "requires TLS, redis_url must begin with rediss://"),
    ("no file", "No such file"),
]


def test_the_store_answers_with_tls(server: Guarded) -> None:
    with connect(Settings(redis_url=server.url_of("reactions-worker"))) as client:
        assert client.set("post:{1}:1:viral", "1")


@pytest.mark.parametrize(("how", "says"), STORE)
def test_a_store_is_refused(server: Guarded, other: Path, how: str, says: str) -> None:
    url = changed(server.url_of("reactions-worker"), how, other)
    with (
        connect(Settings(redis_url=url)) as client,
        pytest.raises(ReactionsUnavailable, match=says),
        translated(),
    ):
        client.get("post:{1}:1:viral")


def publish(url: str) -> None:
    forget: Any = kombu.pools.reset
    forget()  # the pool does not distinguish connections by their CA
    with make_publisher(Settings(broker_url=url)) as app:
        app.send_task(DRAIN, kwargs={"shards": [1]})
    forget()


def published(server: Guarded) -> int:
    """How many messages came since this was last asked."""
    with server.admin() as admin:
        number = int(admin.llen("persistence"))
        admin.delete("persistence")
    return number


def test_the_broker_answers_with_tls(server: Guarded) -> None:
    publish(server.url_of("reactions-broker"))
    assert published(server) == 1


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("another CA", CERTIFICATE),
        ("no CA", CERTIFICATE),  # kombu's own default is not to verify
        ("another host", "Hostname mismatch"),
        ("no TLS", "reset by peer|closed by server"),
    ],
)
def test_a_broker_is_refused(server: Guarded, other: Path, how: str, says: str) -> None:
    with pytest.raises(OperationalError, match=says):
        publish(changed(server.url_of("reactions-broker"), how, other))
    assert published(server) == 0


@pytest.fixture
def certificate(server: Guarded, authority: trustme.CA, tmp_path: Path) -> Iterator[str]:
    """Options with the certificate of a client. The server talks to no client without one."""
    files = tmp_path / "client.pem", tmp_path / "client.key"
    issued = authority.issue_cert("client.example")
    issued.cert_chain_pems[0].write_to_path(files[0])
    issued.private_key_pem.write_to_path(files[1])
    with server.admin() as admin:
        admin.config_set("tls-auth-clients", "yes")
        yield f"&ssl_certfile={files[0]}&ssl_keyfile={files[1]}"
        admin.config_set("tls-auth-clients", "no")


def test_a_server_that_asks_for_a_certificate_gets_it(server: Guarded, certificate: str) -> None:
    store, broker = server.url_of("reactions-worker"), server.url_of("reactions-broker")
    with (
        connect(Settings(redis_url=store)) as client,
        pytest.raises(ReactionsUnavailable),
        translated(),
    ):
        client.get("post:{1}:1:viral")
    with connect(Settings(redis_url=store + certificate)) as client:
        assert client.set("post:{1}:1:viral", "1")
    with pytest.raises(OperationalError):
        publish(broker)
    publish(broker + certificate)
    with Redis.from_url(server.url_of("admin") + certificate) as admin:
        assert admin.llen("persistence") == 1
        admin.delete("persistence")


def test_a_broker_whose_name_need_not_match(server: Guarded) -> None:
    url = server.url_of("reactions-broker").replace("127.0.0.1", "localhost")
    for wanted in ("required", "optional", "none"):
        how = url.replace("ssl_cert_reqs=required", f"ssl_cert_reqs={wanted}")
        publish(f"{how}&ssl_check_hostname=false")
    assert published(server) == 3


def encrypted(url: str) -> object:
    database = Database(Settings(database_url=url))
    try:
        with database.transaction() as connection:
            return connection.scalar(
                text("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
            )
    finally:
        database.close()


def test_the_database_answers_with_tls(roles: Roles, server: Guarded) -> None:
    verified = f"sslmode=verify-full&sslrootcert={server.authority}"
    assert encrypted(f"{roles.url_of('writer')}?{verified}") is True


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("another CA", "certificate verify failed; sslrootcert of database_url must name the CA"),
        ("another host", "does not match host name"),
        (
            "no TLS",
            "no encryption; the server requires TLS: database_url needs sslmode=verify-full",
        ),
        ("no file", "does not exist"),
    ],
)
def test_a_database_is_refused(
    roles: Roles, server: Guarded, other: Path, how: str, says: str
) -> None:
    url, verified = roles.url_of("writer"), "?sslmode=verify-full&sslrootcert="
    wrong = {
        "another CA": f"{url}{verified}{other}",
        "another host": f"{url}{verified}{server.authority}".replace("127.0.0.1", "localhost"),
        "no TLS": f"{url}?sslmode=disable",
        "no file": f"{url}{verified}/nowhere.pem",
    }[how]
    with pytest.raises(ReactionsUnavailable, match=says):
        encrypted(wrong)
