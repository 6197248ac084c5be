"""Forged messages, in the form that Celery stores in a queue on Redis."""

from __future__ import annotations

import base64
import gzip
import json
import pathlib
import pickle
import uuid
from collections.abc import Callable, Mapping
from typing import Any

HONEST: tuple[Any, ...] = ([], {"shards": [42]}, {})


def raw(
    body: Any = HONEST,
    *,
    headers: Any = None,
    properties: Any = None,
    packed: bytes | None = None,
    top: Mapping[str, Any] | None = None,
) -> bytes:
    """Return a valid message that drains shard 42, changed by the arguments."""
    identity = str(uuid.uuid4())
    content = packed if packed is not None else json.dumps(body).encode()
    message: dict[str, Any] = {
        "body": base64.b64encode(content).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {
            "lang": "py",
            "task": "reactions.drain",
            "id": identity,
            "root_id": identity,
            "parent_id": None,
            "retries": 0,
            "timelimit": [None, None],
            "eta": None,
            "expires": None,
        },
        "properties": {
            "correlation_id": identity,
            "delivery_mode": 2,
            "delivery_info": {"exchange": "", "routing_key": "persistence"},
            "priority": 0,
            "body_encoding": "base64",
            "delivery_tag": str(uuid.uuid4()),
        },
    }
    for part, given in (("headers", headers), ("properties", properties)):
        if isinstance(given, dict):
            message[part] |= given
        elif given is not None:
            message[part] = given
    return json.dumps(message | dict(top or {})).encode()


class Exploit:
    """Creates a file when it is unpickled."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., None], tuple[pathlib.Path]]:
        return pathlib.Path.touch, (self.path,)


def pickled(path: pathlib.Path) -> bytes:
    return raw(
        packed=pickle.dumps(Exploit(path)),
        top={"content-type": "application/x-python-serialize", "content-encoding": "binary"},
    )


NAN = float("nan")
DEEP = b"[" * 50_000 + b"]" * 50_000
UNUSUAL = [None, "x", [1], {"a": 1}, -1, NAN, 10**400, "9999-12-31T23:59:59"]
HEADERS = (
    "task", "id", "root_id", "parent_id", "retries", "timelimit", "eta", "expires", "lang", "group",
    "stamped_headers", "stamps", "shadow", "origin", "compression", "meth", "ignore_result",
)  # fmt: skip
PROPERTIES = ("delivery_tag", "delivery_info", "body_encoding", "correlation_id", "reply_to")
TOP = ("body", "headers", "properties", "content-type", "content-encoding")

ENTRIES: list[bytes] = [
    b"",
    b"\xff\0\x80",
    raw()[:200],
    *(json.dumps(value).encode() for value in UNUSUAL),
    DEEP,
    *(raw(headers={name: value}) for name in HEADERS for value in UNUSUAL),
    *(raw(properties={name: value}) for name in PROPERTIES for value in UNUSUAL),
    *(raw(top={name: value}) for name in TOP for value in UNUSUAL),
    *(raw(body) for body in UNUSUAL),
    *(raw([value, {}, {}]) for value in UNUSUAL),
    *(raw([[], value, {}]) for value in UNUSUAL),
    *(raw([[], {"shards": []}, value]) for value in UNUSUAL),
    *(raw([[], {"shards": []}, {"chain": value, "callbacks": value}]) for value in UNUSUAL),
    *(raw([[], {"shards": value, "tokens": value}, {}]) for value in UNUSUAL),
    raw(headers={"task": "os.system"}),
    raw([["touch /tmp/x"], {}, {}], headers={"task": "celery.chain"}),
    raw([[[42] * 500_000], {}, {}]),
    raw([[], {"shards": {"__type__": "datetime", "__value__": "x"}}, {}]),
    raw(packed=b"{{{"),
    raw(packed=DEEP),
    raw(top={"body": "abcde"}),
    raw(packed=gzip.compress(b" " * 50 * 2**20), headers={"compression": "application/x-gzip"}),
]
