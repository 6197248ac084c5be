"""The registry of reaction types: which code has which name, and what may still be given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection, insert, select, text, update

from reactions.core.constants import MAX_CODE, REMOVE
from reactions.core.errors import InvalidArgument
from reactions.core.type_names import ALLOWED, MAX_EMOJI, MAX_NAME, emoji_of, is_name, normal
from reactions.core.type_registry import ReactionType, unregistered
from reactions.postgres.database import Database
from reactions.postgres.locks import LOCK_CLASS
from reactions.postgres.tables import reaction_types

_LOCK = text("SELECT pg_advisory_xact_lock(:class, -1)")
"""Locks the registry until the end of the transaction; shards have the keys 0 to 99."""

_type = reaction_types.c


class TypeRegistry:
    """Reads and changes the registry. One change at a time; each is safe to repeat.

    Every method raises ReactionsUnavailable when PostgreSQL cannot serve, or lacks the migrations.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self) -> tuple[ReactionType, ...]:
        """Return all types, in the order of their codes."""
        with self._database.transaction() as connection:
            return _read(connection)

    def register(self, types: Mapping[str, int]) -> None:
        """Add the types of a configuration that are new.

        Raises:
            TypesMismatch: the registry has one of the codes or names with another partner.
        """
        if not unregistered(types, self.all()):
            return
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            missing = unregistered(types, _read(connection))
            if missing:
                rows = [
                    {"code": types[name], "name": name, "emoji": emoji_of(name)} for name in missing
                ]
                connection.execute(insert(reaction_types), rows)

    def add(self, name: str, code: int | None = None) -> ReactionType:
        """Add a type, with the next free code if none is given. Return it.

        Raises:
            InvalidArgument: the name is not allowed, or name or code belong to another type.
        """
        name = _check(name)
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            registered = _read(connection)
            known = _find(registered, name)
            if known is not None and known.name == name and code in (None, known.code):
                return known
            if known is not None:
                raise InvalidArgument("name", f"new: it belongs to code {known.code}", name)
            wanted = max((t.code for t in registered), default=0) + 1 if code is None else code
            if not 1 <= wanted <= MAX_CODE or any(t.code == wanted for t in registered):
                raise InvalidArgument("code", f"a free one from 1 to {MAX_CODE}", wanted)
            emoji = emoji_of(name)
            connection.execute(insert(reaction_types).values(code=wanted, name=name, emoji=emoji))
        return ReactionType(wanted, name, emoji=emoji)

    def rename(self, old: str, new: str) -> ReactionType:
        """Give a type another name. The old one is kept as a former name of the same code.

        Raises:
            InvalidArgument: there is no such type, or the new name belongs to another type.
        """
        new = _check(new)
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            registered = _read(connection)
            known, other = _known(registered, old), _find(registered, new)
            if other is not None and other.code != known.code:
                raise InvalidArgument("new", f"free: it belongs to code {other.code}", new)
            former = tuple(name for name in known.names if name != new)
            connection.execute(
                update(reaction_types)
                .where(_type.code == known.code)
                .values(name=new, former=list(former))
            )
        return replace(known, name=new, former=former)

    def retire(self, name: str, retired: bool = True) -> ReactionType:
        """Say that nobody may give a type any more, or with False that everybody may again.

        Raises:
            InvalidArgument: there is no such type.
        """
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            known = _known(_read(connection), name)
            connection.execute(
                update(reaction_types).where(_type.code == known.code).values(retired=retired)
            )
        return replace(known, retired=retired)

    def describe(self, name: str, label: str | None, emoji: str | None) -> ReactionType:
        """Say how a type is shown: with a label and an emoji. None leaves one as it is.

        Args:
            label: up to 64 characters; empty for the name.
            emoji: up to 16 characters; empty for none.

        Raises:
            InvalidArgument: there is no such type, or a text is not allowed.
        """
        label = None if label is None else _check_shown("label", label, MAX_NAME)
        emoji = None if emoji is None else _check_shown("emoji", emoji, MAX_EMOJI)
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            known = _known(_read(connection), name)
            shown = replace(
                known,
                label=known.label if label is None else label,
                emoji=known.emoji if emoji is None else emoji,
            )
            connection.execute(
                update(reaction_types)
                .where(_type.code == known.code)
                .values(label=shown.label, emoji=shown.emoji)
            )
        return shown

    def write_back(self, copied: Sequence[ReactionType]) -> None:
        """Add the types that PostgreSQL lost and a copy still has. Existing types stay as they are.

        A worker may add types, but not change them.
        """
        with self._database.transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            registered = _read(connection)
            codes = {known.code for known in registered}
            names = {name for known in registered for name in known.names}
            lost = [t for t in copied if t.code not in codes and names.isdisjoint(t.names)]
            rows = [
                {"code": t.code, "name": t.name, "retired": t.retired, "former": list(t.former)}
                for t in lost
            ]
            if rows:
                connection.execute(insert(reaction_types), rows)

    def publish(self, write: Callable[[Sequence[ReactionType]], None]) -> tuple[ReactionType, ...]:
        """Hand the registry to a function that copies it, and return it.

        The lock makes a copy that is written later a copy that was read later. A standby refuses
        it with `StandbyRefused`: its registry may be an older one.
        """
        with self._database.for_caches().transaction() as connection:
            connection.execute(_LOCK, {"class": LOCK_CLASS})
            registered = _read(connection)
            write(registered)
        return registered


def _read(connection: Connection) -> tuple[ReactionType, ...]:
    found = connection.execute(
        select(_type.code, _type.name, _type.retired, _type.former, _type.label, _type.emoji)
        .where(_type.code > 0)  # code 0 is a removal
        .order_by(_type.code)
    )
    return tuple(
        ReactionType(code, name, retired, tuple(former), label, emoji)
        for code, name, retired, former, label, emoji in found
    )


def _find(registered: Sequence[ReactionType], name: str) -> ReactionType | None:
    return next((known for known in registered if name in known.names), None)


def _known(registered: Sequence[ReactionType], name: str) -> ReactionType:
    known = _find(registered, normal(name))
    if known is None:
        raise InvalidArgument("name", f"one of {', '.join(t.name for t in registered)}", name)
    return known


def _check(name: str) -> str:
    name = normal(name)
    if not is_name(name) or name == REMOVE:
        raise InvalidArgument("name", f"{ALLOWED}, and not {REMOVE!r}", name)
    return name


def _check_shown(argument: str, shown: str, most: int) -> str:
    shown = normal(shown)
    if shown and (len(shown) > most or not is_name(shown)):
        raise InvalidArgument(argument, f"empty, or {ALLOWED}; at most {most}", shown)
    return shown
