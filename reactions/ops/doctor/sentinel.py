"""Sentinels: which answer, whether they agree, and whether a replica could take over."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from redis import Redis
from redis.exceptions import ResponseError

from reactions.core.errors import short
from reactions.core.sentinel_url import is_sentinel, parse_sentinel
from reactions.ops.doctor.cluster import OPTIONS, check_option
from reactions.ops.doctor.findings import Finding, Findings, State, guarded
from reactions.redis.connection import FAILURES
from reactions.redis.sentinel import Sentinels

ANSWER_S = 2.0
"""How long one Sentinel has to answer, in seconds."""

AWAY = ("s_down", "o_down", "disconnected")
"""Flags of a server that a Sentinel does not reach."""


def check_sentinels(name: str, url: str, primary: object = None) -> Findings:
    """Check the Sentinels of a URL. Yields nothing if it names none.

    Args:
        name: how the checks begin: ``redis`` or ``broker``.
        url: of the setting.
        primary: a client of the primary that they name, to check its options, too.
    """
    if not is_sentinel(url):
        return
    yield from guarded(f"{name} sentinels", partial(_examine, f"{name} sentinels", url))
    if isinstance(primary, Redis):
        check = f"{name} min replicas"
        wanted = OPTIONS["min replicas"]
        yield from guarded(check, partial(check_option, check, wanted, primary))


def _examine(check: str, url: str) -> Findings:
    parsed = parse_sentinel(url)
    sentinels = Sentinels(parsed, ANSWER_S * len(parsed.sentinels))
    try:
        answers: dict[str, tuple[str, Redis]] = {}
        silent: list[str] = []
        for address, client in sentinels.clients.items():
            try:
                answers[address] = _primary(client, parsed.service), client
            except FAILURES as error:
                silent.append(f"{address} ({short(str(error), 60)})")
        yield _answering(check, len(sentinels.clients), silent)
        if not answers:
            return
        yield _agreeing(f"{check} agree", {at: primary for at, (primary, _) in answers.items()})
        _, first = next(iter(answers.values()))
        for suffix, examine in (("quorum", _quorum), ("replicas", _replicas)):
            full = f"{check} {suffix}"
            yield from guarded(full, partial(examine, full, first, parsed.service))
    finally:
        sentinels.close()


def _ask(client: Redis, command: str, service: str) -> Any:  # noqa: ANN401 - a reply of the server
    return client.execute_command("SENTINEL", command, service)  # type: ignore[no-untyped-call]


def _primary(client: Redis, service: str) -> str:
    found = _ask(client, "GET-MASTER-ADDR-BY-NAME", service)
    return ":".join(map(_text, found)) if found else ""


def _answering(check: str, known: int, silent: list[str]) -> Finding:
    if not silent:
        return Finding(check, State.OK, f"{known} answer")
    found = short(f"{len(silent)} of {known} do not answer: {', '.join(silent)}", 300)
    # Half of them cannot elect the one that would make a replica the primary.
    state = State.FAILURE if 2 * len(silent) >= known else State.WARNING
    return Finding(check, state, found, "start them: a majority must agree before one acts")


def _agreeing(check: str, primaries: Mapping[str, str]) -> Finding:
    named = {primary or "no primary" for primary in primaries.values()}
    if named == {"no primary"}:
        remedy = "let the URL end with the service of `sentinel monitor`"
        return Finding(check, State.FAILURE, "none of them knows the service", remedy)
    if len(named) == 1:
        return Finding(check, State.OK, f"the primary is {named.pop()}")
    told = (f"{at} names {primary or 'no primary'}" for at, primary in sorted(primaries.items()))
    return Finding(
        check,
        State.FAILURE,
        short("; ".join(told), 300),
        "wait for a failover to end; then check that each Sentinel reaches the others, and tell one"
        " that is wrong anew: SENTINEL REMOVE, SENTINEL MONITOR",
    )


def _quorum(check: str, client: Redis, service: str) -> Findings:
    try:
        said = _text(_ask(client, "CKQUORUM", service))
    except ResponseError as error:
        if not str(error).startswith("NOQUORUM"):
            raise
        remedy = "start Sentinels, or lower the quorum: nobody would make a replica the primary"
        yield Finding(check, State.FAILURE, short(str(error), 200), remedy)
        return
    yield Finding(check, State.OK, short(said, 200))


def _replicas(check: str, client: Redis, service: str) -> Findings:
    replicas = [_pairs(reply) for reply in _ask(client, "REPLICAS", service)]
    ready = [each for each in replicas if _is_ready(each)]
    found = f"{len(ready)} of {len(replicas)} are in step"
    if ready:
        yield Finding(check, State.OK, found)
        return
    remedy = "start a replica, or add one: nothing can take over from the primary"
    yield Finding(check, State.FAILURE, found if replicas else "the primary has none", remedy)


def _is_ready(replica: Mapping[str, str]) -> bool:
    reached = not any(flag in replica.get("flags", "") for flag in AWAY)
    return reached and replica.get("master-link-status") == "ok"


def _pairs(reply: Any) -> dict[str, str]:  # noqa: ANN401 - a reply of the server
    """Read names and values, which are a map in RESP3."""
    if isinstance(reply, dict):
        return {_text(name): _text(value) for name, value in reply.items()}
    words = list(map(_text, reply))
    return dict(zip(words[::2], words[1::2], strict=True))


def _text(word: Any) -> str:  # noqa: ANN401 - a reply of the server
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
