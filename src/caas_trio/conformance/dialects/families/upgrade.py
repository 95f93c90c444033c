"""STLS: a conversation that turns to TLS, and what was said in plain before."""

from __future__ import annotations

from caas_trio.conformance.compare import Broken
from caas_trio.conformance.dialects.dialect import Exchange
from caas_trio.conformance.dialects.talk import Client, Talk, UnjudgedError
from caas_trio.conformance.profile import Need

from .common import case


def _request(talk: Talk) -> Exchange:
    assert talk.dialect.starttls is not None  # noqa: S101 - Need.STARTTLS
    return talk.dialect.starttls


async def _agreed(client: Client, behind: bytes = b"") -> None:
    """Ask for TLS and take the go-ahead; one that has no TLS says something else, and is not judged."""
    try:
        await client.answered(client.ask(_request(client.talk), behind=behind), "STLS-2")
    except Broken as broken:
        if broken.fault.clause != "STLS-2" or not client.buffer:
            raise
        raise UnjudgedError(f"the server does not turn to TLS, but says {broken.fault.received!r}") from None


async def _turned(talk: Talk, behind: bytes = b"") -> tuple[Client, str]:
    """Return a client that has asked for TLS, with something behind the request, and why it has none."""
    client = await talk.connect()
    await _agreed(client, behind)
    if client.buffer:
        reason = "the server said more in plain behind its go-ahead"
        raise talk.broken(reason, b"", client.buffer[:256], "STLS-3")
    return client, await client.start_tls()


async def _works(talk: Talk) -> None:
    client, problem = await _turned(talk)
    if problem:
        raise talk.broken(problem)
    await client.steady()


async def _injected(talk: Talk) -> None:
    """Requests injected behind STARTTLS must not be executed; refusing the handshake is right too."""
    injected = talk.dialect.steady.sent(100_000, talk.dialect.terminator)
    client, problem = await _turned(talk, injected * 2)
    if problem:
        return
    said = await client.rest()
    if said:
        raise talk.broken("what came in plain was answered over TLS", b"", said[:256])


async def _nothing_more_in_plain(talk: Talk) -> None:
    client = await talk.connect()
    await _agreed(client)
    await client.silence()


CASES = (
    case("STLS-2", "works", _works, needs=(Need.STARTTLS,)),
    case("STLS-1", "injected", _injected, needs=(Need.STARTTLS,), after=("STLS-2.works/whole",), idle=True),
    case(
        "STLS-3",
        "plain",
        _nothing_more_in_plain,
        needs=(Need.STARTTLS,),
        after=("STLS-2.works/whole",),
        idle=True,
    ),
)
