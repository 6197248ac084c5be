"""``reactions.redis.layout``: workers write the layout where it is missing, `migrate` raises it."""

from __future__ import annotations

from typing import Any

import pytest

from reactions.core.errors import LayoutMismatch
from reactions.core.layout import CURRENT, Layout
from reactions.redis.connection import Client
from reactions.redis.keys import default_keys as keys
from reactions.redis.layout import check_layout, layout_commands, raise_layout, read_layout
from reactions.redis.pipeline import run_all

NEWER = Layout(CURRENT.number + 2, CURRENT.number)


def write_layout(client: Client) -> None:
    """As a worker does, with the types."""
    run_all(client, layout_commands(client))


@pytest.mark.parametrize("write", [write_layout, raise_layout])
def test_an_empty_redis_gets_the_layout_for_ever(client: Client, write: Any) -> None:
    check_layout(client)
    assert read_layout(client) is None
    write(client)
    assert read_layout(client) == CURRENT
    assert client.ttl(keys.outbox_layout()) == -1


@pytest.mark.parametrize("write", [write_layout, raise_layout])
def test_an_older_version_lowers_nothing(client: Client, write: Any) -> None:
    client.set(keys.outbox_layout(), str(NEWER))
    write(client)
    assert read_layout(client) == NEWER


def test_migrate_raises_an_older_layout(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    write_layout(client)
    monkeypatch.setattr("reactions.redis.layout.CURRENT", NEWER)
    write_layout(client)
    assert read_layout(client) == CURRENT
    raise_layout(client)
    assert read_layout(client) == NEWER


def test_migrate_does_not_touch_what_it_does_not_understand(client: Client) -> None:
    text = str(Layout(CURRENT.number + 1, CURRENT.number + 1))
    client.set(keys.outbox_layout(), text)
    with pytest.raises(LayoutMismatch):
        raise_layout(client)
    assert str(read_layout(client)) == text


def test_a_key_of_another_type_is_as_good_as_none(client: Any) -> None:
    client.rpush(keys.outbox_layout(), "a list")
    check_layout(client)
    assert read_layout(client) is None
