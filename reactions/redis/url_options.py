"""Checks the options of ``redis_url``: each one has its effect, or is refused by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from redis.cluster import KWARGS_DISABLED_KEYS, REDIS_ALLOWED_KEYS
from redis.connection import URL_QUERY_ARGUMENT_PARSERS

from reactions.core.errors import InvalidSettings, short
from reactions.core.sentinel_url import is_sentinel, parse_sentinel

KNOWN = frozenset(
    {
        "client_name",
        "db",
        "health_check_interval",
        "lib_name",
        "lib_version",
        "max_connections",
        "password",
        "protocol",
        "socket_connect_timeout",
        "socket_keepalive",
        "socket_read_size",
        "socket_timeout",
        "ssl_ca_certs",
        "ssl_ca_data",
        "ssl_ca_path",
        "ssl_cert_reqs",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_ciphers",
        "ssl_exclude_verify_flags",
        "ssl_include_verify_flags",
        "ssl_keyfile",
        "ssl_min_version",
        "ssl_password",
        "ssl_validate_ocsp",
        "ssl_validate_ocsp_stapled",
        "username",
    }
)
"""Options of redis-py that this engine passes on. ``socket_timeout`` and ``socket_connect_timeout``
come before redis_timeout_s."""

_BEFORE = "it belongs before the question mark"
_BYTES = "this engine reads bytes"
_ONCE = "this engine decides what it repeats, and how often"
_REASONS = {
    "decode_responses": _BYTES,
    "encoding": _BYTES,
    "encoding_errors": _BYTES,
    "host": _BEFORE,
    "path": _BEFORE,
    "port": _BEFORE,
    "retry": _ONCE,
    "retry_on_error": _ONCE,
    "retry_on_timeout": _ONCE,
}


def check_options(url: str, *, cluster: bool) -> None:
    """Refuse what redis-py would ignore, and what this engine cannot work with.

    Args:
        cluster: whether the URL names a node of a Redis Cluster.

    Raises:
        InvalidSettings: the message names the option, and shows no value.
    """
    if is_sentinel(url):
        if cluster:
            raise InvalidSettings("redis_url names Sentinels; unset redis_cluster, which has none")
        url = parse_sentinel(url).server
    parts = urlsplit(url)
    given = parse_qsl(parts.query, keep_blank_values=True)
    for name, value in given:
        if reason := _refused(name, value, parts.scheme, cluster):
            raise InvalidSettings(f"redis_url has the option {short(name)}: {reason}")
    names = Counter(name for name, _ in given)
    names += Counter(name for name in ("username", "password") if getattr(parts, name))
    database = "" if parts.scheme == "unix" else unquote(parts.path).strip("/")
    names["db"] += bool(database)
    for name, number in names.items():
        if number > 1:
            raise InvalidSettings(f"redis_url gives {name} twice; remove one of them")
    database = dict(given).get("db", database) or "0"
    if not database.isdecimal():
        raise InvalidSettings("redis_url must end with the number of a database, such as /0")
    if cluster and int(database):
        raise InvalidSettings(
            "redis_url names a database, but a cluster has only 0; end it with /0"
        )
    if cluster and parts.scheme == "unix":
        raise InvalidSettings("redis_url must be redis:// or rediss:// when redis_cluster is set")


def _refused(name: str, value: str, scheme: str, cluster: bool) -> str:
    """Return why an option cannot be used, or an empty text."""
    if name not in KNOWN:
        return _REASONS.get(name, "redis-py, or this engine, does not know it")
    if name.startswith("ssl_") and scheme != "rediss":
        return "it needs a URL that begins with rediss://"
    if cluster and (name not in REDIS_ALLOWED_KEYS or name in KWARGS_DISABLED_KEYS):
        return "redis-py does not pass it on to the nodes of a cluster"
    try:
        parsers: Mapping[str, Any] = URL_QUERY_ARGUMENT_PARSERS
        parsers.get(name, str)(value)
    except (TypeError, ValueError):
        return "its value cannot be used"
    if name == "protocol" and value not in {"2", "3"}:
        return "its value must be 2 or 3"
    return "it has no value" if not value else ""
