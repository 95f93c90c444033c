"""READ and HARM: clients that read late or not at all, and what one costs another."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import trio

from caas_trio.conformance.compare import Broken
from caas_trio.conformance.dialects.talk import Client, Talk
from caas_trio.conformance.profile import Need

from .common import CUT, PIPELINED, case, halves

_LATE_S: Final = 0.5
_QUIET_S: Final = 2.0
_PIECE: Final = 1 << 20
#: More than the usual kernel takes for both directions of one connection.
_MEBIBYTES: Final = 24
_FEW: Final = 3
_IN_TURN: Final = 60
_RESETS: Final = 12
_BURST: Final = (*PIPELINED, "PIPE-1.burst/whole")


def _flood(client: Client) -> bytes:
    """Return a mebibyte of the steady probe."""
    data, _ = client.prepare(client.talk.dialect.steady)
    return data * (_PIECE // len(data))


async def _late(talk: Talk) -> None:
    client = await talk.connect()
    asked = client.ask(*[talk.dialect.steady] * talk.dialect.burst)
    await trio.sleep(_LATE_S)
    await client.answered(asked)
    await client.steady()


async def _stops_reading(talk: Talk) -> None:
    client = await talk.connect()
    if await client.pour(_flood(client), _MEBIBYTES, _QUIET_S):
        raise talk.broken(f"the server took {_MEBIBYTES} MiB from a client that reads nothing")


async def _served(talk: Talk, client: Client | None = None) -> None:
    """Check that a client, a new one by default, is served, and not by a reply for another client."""
    try:
        client = client or await talk.connect(talk.clause)
        await client.steady()
    except Broken as broken:
        if broken.fault.received and broken.fault.clause == talk.clause:
            raise Broken(replace(broken.fault, clause="HARM-5")) from None
        raise


def _few(talk: Talk) -> int:
    return min(_FEW, talk.dialect.clients - 1)


async def _silent(talk: Talk) -> None:
    for _ in range(_few(talk)):
        await talk.open()
    await _served(talk)


async def _half(talk: Talk) -> None:
    for _ in range(_few(talk)):
        client = await talk.connect("HARM-5")
        client.send(halves(client)[0])
    await trio.sleep(_LATE_S)
    await _served(talk)


async def _resets(talk: Talk) -> None:
    witness = await talk.connect("HARM-2")
    for number in range(_RESETS):
        if number % 3 == 0:
            client = await talk.open()
        else:
            client = await talk.connect("HARM-2")
            first, second, _ = halves(client)
            client.send(first if number % 2 else first + second)
            await client.wire.flushed()
        client.wire.reset()
    await _served(talk, witness)
    await _served(talk)


async def _unread(talk: Talk) -> None:
    greedy = await talk.connect("HARM-3")
    await greedy.pour(_flood(greedy), _MEBIBYTES, _QUIET_S)
    await _served(talk)


async def _crowd(talk: Talk) -> None:
    talk.extend(talk.timeout_s)
    clients = [await talk.open() for _ in range(talk.dialect.clients)]
    for client in clients:
        await client.greeted("HARM-4")
        for exchange in talk.dialect.login:
            await client.exchange(exchange)
    asked = [client.ask(talk.dialect.steady) for client in clients]
    for client, each in zip(clients, asked, strict=True):
        await client.answered(each)


async def _mixed(talk: Talk) -> None:
    """The requests of several clients come in halves that alternate."""
    clients = [await talk.connect("HARM-5") for _ in range(_few(talk) + 1)]
    parts = [halves(client) for client in clients]
    for client, (first, _, _) in zip(clients, parts, strict=True):
        client.send(first)
        await client.wire.flushed()
    for client, (_, second, _) in reversed(list(zip(clients, parts, strict=True))):
        client.send(second)
    for client, (_, _, asked) in zip(clients, parts, strict=True):
        await client.answered([asked])
    for client in clients:
        await client.silence("QUIET-1")


async def _in_turn(talk: Talk) -> None:
    talk.extend(talk.timeout_s)
    for number in range(_IN_TURN):
        client = await talk.connect("HARM-6")
        if number % 2:
            await client.steady()
        client.wire.close()


_SEVERAL: Final = (Need.SEVERAL_CLIENTS,)

CASES = (
    case("READ-1", "late", _late, needs=(Need.PIPELINED,), after=_BURST),
    case("READ-2", "stops", _stops_reading, needs=(Need.PIPELINED, Need.FLOOD), after=_BURST, effort=6.0),
    case("HARM-1", "silent", _silent, needs=_SEVERAL),
    case("HARM-1", "half", _half, needs=_SEVERAL, after=("HARM-1.silent/whole",)),
    case("HARM-2", "resets", _resets, needs=_SEVERAL, after=("HARM-1.silent/whole",)),
    case(
        "HARM-3",
        "unread",
        _unread,
        needs=(*_SEVERAL, Need.PIPELINED, Need.FLOOD),
        after=(*_BURST, "HARM-1.silent/whole"),
        effort=6.0,
    ),
    case("HARM-4", "crowd", _crowd, needs=_SEVERAL, after=("HARM-1.silent/whole",), alone=True),
    case("HARM-5", "halves", _mixed, needs=_SEVERAL, after=(*CUT, "HARM-1.half/whole")),
    case("HARM-6", "in-turn", _in_turn),
)
