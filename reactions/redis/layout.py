"""The layout of the keys, as Redis holds it. A process reads it with the copy of the types."""

from __future__ import annotations

from reactions.core.layout import CURRENT, Layout, check, parse
from reactions.redis import keys
from reactions.redis.connection import Client, translated


def read_layout(client: Client) -> Layout | None:
    """Return the layout; None if there is none that can be read. One round trip.

    Raises:
        ReactionsUnavailable: Redis.
    """
    with translated():  # MGET has nothing for a key of another type, where GET fails
        (found,) = client.mget([keys.outbox_layout()])
    return parse(found)


def check_layout(client: Client) -> None:
    """Check that this version works with the keys. One round trip.

    Raises:
        LayoutMismatch: it does not.
        ReactionsUnavailable: Redis.
    """
    check(read_layout(client))


def write_layout(client: Client) -> None:
    """Write the layout of this version where there is none: an older worker lowers nothing.

    Raises:
        ReactionsUnavailable: Redis.
    """
    with translated():
        client.set(keys.outbox_layout(), str(CURRENT), nx=True)


def raise_layout(client: Client) -> None:
    """Raise the layout to that of this version, for ``reactions migrate``. It is never lowered.

    Raises:
        LayoutMismatch: this version does not work with the keys.
        ReactionsUnavailable: Redis.
    """
    found = read_layout(client) or CURRENT
    check(found)
    raised = Layout(max(found.number, CURRENT.number), max(found.oldest, CURRENT.oldest))
    with translated():
        client.set(keys.outbox_layout(), str(raised))
