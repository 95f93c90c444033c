"""REPLY, GREET and PIPE: what is said first, what a request gets, and many of them at once."""

from __future__ import annotations

from typing import Final

from caas_trio.conformance.cuts import WHOLE, Cut, every
from caas_trio.conformance.dialects.talk import Talk
from caas_trio.conformance.profile import Need

from .common import CUT, PIPELINED, Run, case, some

#: A server that greets late, or twice, has done so by then.
_WATCHED_S: Final = 0.6


async def _greets(talk: Talk) -> None:
    client = await talk.open()
    await client.greeted()


async def _is_silent(talk: Talk) -> None:
    client = await talk.open()
    await client.silence()


async def _hello(talk: Talk) -> None:
    client = await talk.connect()
    for probe in talk.dialect.probes:
        await client.exchange(probe)


async def _greets_once(talk: Talk) -> None:
    client = await talk.connect()
    await client.silence("QUIET-1", _WATCHED_S)
    await client.steady()
    await client.silence("QUIET-1", _WATCHED_S)


async def _early(talk: Talk) -> None:
    client = await talk.open()
    first = talk.dialect.login[0] if talk.dialect.login else talk.dialect.steady
    asked = client.ask(first)
    await client.greeted("GREET-4")
    await client.answered(asked)


async def _unknown(talk: Talk) -> None:
    client = await talk.connect()
    assert talk.dialect.unknown is not None  # noqa: S101 - Need.UNKNOWN
    for _ in range(2):
        await client.exchange(talk.dialect.unknown)
        await client.steady()


def _at_once(count: int | None, *, mixed: bool, cut: Cut = WHOLE) -> Run:
    """Return the script that sends many requests, or as many as may be sent, and then looks for replies."""

    async def script(talk: Talk) -> None:
        client = await talk.connect()
        number = min(count or talk.dialect.burst, talk.dialect.burst)
        probes = talk.dialect.repeated if mixed else (talk.dialect.steady,)
        await client.answered(client.ask(*some(probes, number), cut=cut))
        await client.silence()
        await client.steady()

    return script


SANITY = (
    case("GREET-1", "comes", _greets, needs=(Need.GREETING,), sanity=True),
    case("GREET-3", "silent", _is_silent, needs=(Need.NO_GREETING,), sanity=True),
    case("REPLY-1", "hello", _hello, sanity=True),
)
STILL_SERVED = case("REPLY-1", "still-served", _hello)

CASES = (
    case("REPLY-2", "unknown", _unknown, needs=(Need.UNKNOWN,)),
    case("REPLY-3", "every-line", _hello),
    case("GREET-2", "once", _greets_once, needs=(Need.GREETING,), idle=True),
    case("GREET-4", "early", _early, needs=(Need.EARLY,)),
    case("PIPE-1", "three", _at_once(3, mixed=True), needs=(Need.PIPELINED,)),
    case("PIPE-1", "burst", _at_once(None, mixed=False), needs=(Need.PIPELINED,), after=PIPELINED),
    case("PIPE-1", "mixed", _at_once(None, mixed=True), needs=(Need.PIPELINED,), after=PIPELINED),
    case(
        "PIPE-1",
        "burst",
        _at_once(None, mixed=True, cut=every(61, "every-61", 0.001)),
        "every-61",
        (Need.PIPELINED,),
        after=(*PIPELINED, *CUT, "PIPE-1.mixed/whole"),
    ),
)
