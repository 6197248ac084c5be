"""Reads ``database_url`` as libpq does, so that every option of libpq has its effect."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote

import psycopg2
from psycopg2.extensions import parse_dsn

from reactions.core.errors import InvalidSettings
from reactions.core.urls import DATABASE_DRIVER
from reactions.postgres.limits import TIME_LIMITS

_OPTION = re.compile(r"(?:-c\s*|--)([A-Za-z_][\w.-]*)\s*=")
_UNKNOWN = re.compile(r'invalid URI query parameter: "([\w.-]{1,64})"')


def parameters_of(url: str) -> dict[str, str]:
    """Return the parameters of libpq that a ``database_url`` names.

    Several hosts may have libpq's form, ``h1:5432,h2:5433`` before the path, or SQLAlchemy's,
    ``?host=h1:5432&host=h2:5433``.

    Raises:
        InvalidSettings: libpq does not know an option, one is given twice, or one is what
            database_timeout_s or database_schema sets. The message names the option, and never
            shows its value.
    """
    address, _, query = url.partition("?")
    found = _parse(address.replace(DATABASE_DRIVER, "postgresql://", 1))
    for name, value in _given(query):
        read = _parse(f"postgresql://?{name}={quote(value, safe='')}")
        for again in found.keys() & read.keys():
            raise InvalidSettings(f"database_url gives {again} twice; remove one of them")
        found |= read
    instead = dict.fromkeys(TIME_LIMITS, "TIMEOUT_S") | {"search_path": "SCHEMA"}
    for name in sorted(options_of(found) & instead.keys()):
        raise InvalidSettings(
            f"database_url sets {name} in options; remove it, and set"
            f" REACTIONS_DATABASE_{instead[name]} instead"
        )
    return found


def options_of(parameters: dict[str, str]) -> set[str]:
    """Return the names of the server's settings that ``options`` sets."""
    written = _OPTION.findall(parameters.get("options", ""))
    return {name.replace("-", "_").lower() for name in written}


def _given(query: str) -> list[tuple[str, str]]:
    """Return the options after the question mark, with several hosts in libpq's form."""
    pairs = parse_qsl(query, keep_blank_values=True)
    hosts = [one for name, value in pairs if name == "host" for one in value.split(",")]
    others = [(name, value) for name, value in pairs if name != "host"]
    if not any(_port(host) for host in hosts):
        return [*others, ("host", ",".join(hosts))] if hosts else others
    names = [host.removesuffix(f":{_port(host)}") for host in hosts]
    ports = [_port(host) for host in hosts]
    return [*others, ("host", ",".join(names)), ("port", ",".join(ports))]


def _port(host: str) -> str:
    """Return the port of ``host:port``; a folder of sockets and a bare IPv6 address have none."""
    name, _, port = host.rpartition(":")
    return port if name and port.isdigit() and (":" not in name or name.endswith("]")) else ""


def _parse(url: str) -> dict[str, str]:
    try:
        return {name: str(value) for name, value in parse_dsn(url).items()}
    except psycopg2.ProgrammingError as error:  # its text may contain a part of the password
        unknown = _UNKNOWN.search(str(error))
    if unknown:
        raise InvalidSettings(
            f"database_url has the option {unknown[1]}, which libpq does not know"
        )
    raise InvalidSettings(
        "database_url is not a URL that libpq can read; the form is"
        " postgresql://user:password@host:port/database?option=value, percent-encoded"
    )
