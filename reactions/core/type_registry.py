"""The registry of reaction types as a value, and what a process may do with its own configuration.

PostgreSQL holds the registry, and Redis a copy of it. A code is stored in every row, so it keeps
its meaning for ever. A name may change; its former names keep pointing to the same code.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

from reactions.core.errors import TypesMismatch
from reactions.core.settings import Settings
from reactions.core.type_names import emoji_of

MAX_SHOWN = 12
"""Most types that an error message names."""


@dataclass(frozen=True, slots=True)
class ReactionType:
    """One reaction type of the registry.

    Attributes:
        code: 1 to 127; rows store it.
        retired: True if nobody may give it any more. It can be read and taken away.
        former: earlier names; processes that are configured with one of them work on.
        label: what people read, if it is not the name.
        emoji: what people see; empty if there is none.
    """

    code: int
    name: str
    retired: bool = False
    former: tuple[str, ...] = ()
    label: str = ""
    emoji: str = ""

    @property
    def shown_label(self) -> str:
        """The label, or else the name with a capital letter."""
        return self.label or self.name[:1].upper() + self.name[1:]

    @property
    def names(self) -> tuple[str, ...]:
        """The name and the former names."""
        return (self.name, *self.former)


class Vocabulary(NamedTuple):
    """The names that one process uses.

    Attributes:
        names: name -> code of every type, for what is read.
        given: name -> code of what may be given or asked for, former names included.
        retired: the codes that may be read and taken away, and not given.
        types: all types as this process names them, in the order of ``names``.
    """

    names: Mapping[str, int]
    given: Mapping[str, int]
    retired: frozenset[int]
    types: tuple[ReactionType, ...]


def vocabulary(settings: Settings, registered: Sequence[ReactionType]) -> Vocabulary:
    """Return the names of a process. Where the configuration has a former name, it is shown.

    Raises:
        TypesMismatch: the configuration contradicts the registry, or has types it does not know.
    """
    wanted = settings.reaction_types if settings.names_types else {}
    missing = unregistered(wanted, registered)
    if missing or not registered:
        raise TypesMismatch(
            f"not in the registry of reaction types: {_listed(missing) or 'any type'};"
            " run: reactions migrate"
        )
    configured = set(wanted.values())
    names = dict(wanted) | {t.name: t.code for t in registered if t.code not in configured}
    given = names | {name: t.code for t in registered for name in t.names}
    by_code = {t.code: t for t in registered}
    types = tuple(_named(by_code[code], name) for name, code in names.items())
    return Vocabulary(names, given, frozenset(t.code for t in registered if t.retired), types)


def configured(types: Mapping[str, int]) -> Vocabulary:
    """Return the names of a process that has only its configuration."""
    shown = tuple(ReactionType(code, name, emoji=emoji_of(name)) for name, code in types.items())
    return Vocabulary(types, types, frozenset(), shown)


def _named(known: ReactionType, name: str) -> ReactionType:
    """Return a type under one of its names."""
    former = tuple(other for other in known.names if other != name)
    return replace(known, name=name, former=former)


def unregistered(types: Mapping[str, int], registered: Iterable[ReactionType]) -> list[str]:
    """Return the names of the new types: neither name nor code are in the registry.

    Raises:
        TypesMismatch: a name or a code has another partner in the registry.
    """
    registered = list(registered)
    by_code = {known.code: known for known in registered}
    by_name = {name: known for known in registered for name in known.names}
    wrong, missing = list[str](), list[str]()
    for name, code in types.items():
        known = by_code.get(code)
        if known is None and name not in by_name:
            missing.append(name)
        elif known is None:
            wrong.append(f"{name}={code}, but {name} has code {by_name[name].code}")
        elif name not in known.names:
            wrong.append(f"{name}={code}, but code {code} is {known.name}")
    if wrong:
        right = ",".join(f"{known.name}={known.code}" for known in registered)
        raise TypesMismatch(
            "REACTIONS_REACTION_TYPES contradicts the registry of reaction types in PostgreSQL: "
            f"{_listed(wrong)}. Rows store codes, so a code keeps its meaning. Unset the variable,"
            f" or set it to {right}. To change a name, run: reactions types rename OLD NEW. To take"
            " a type away, run: reactions types retire NAME"
        )
    return missing


def _listed(words: Sequence[str]) -> str:
    more = ", ..." if len(words) > MAX_SHOWN else ""
    return ", ".join(words[:MAX_SHOWN]) + more


def dump(registered: Iterable[ReactionType]) -> str:
    """Return the registry as JSON, as Redis holds it."""
    return json.dumps([asdict(known) for known in registered], ensure_ascii=False)


def load(text: bytes | str) -> tuple[ReactionType, ...] | None:
    """Read the registry from JSON; None if this version cannot read it. Ignores unknown fields."""
    try:
        return tuple(
            ReactionType(
                int(known["code"]),
                str(known["name"]),
                bool(known.get("retired")),
                tuple(str(name) for name in known.get("former", ())),
                str(known.get("label", "")),
                str(known.get("emoji", "")),
            )
            for known in json.loads(text)
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
