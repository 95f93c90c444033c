"""TERM-7: where a body ends. What one server takes for its end, and the next for a part of it, smuggles.

The endings are those of CVE-2023-51764, CVE-2023-51765 and CVE-2023-51766, and their like.
"""

from __future__ import annotations

from typing import Final

from caas_trio.conformance.compare import Broken
from caas_trio.conformance.cuts import BYTE, WHOLE, Cut
from caas_trio.conformance.dialects.dialect import Body
from caas_trio.conformance.dialects.talk import Client, Talk, UnjudgedError
from caas_trio.conformance.profile import Need

from .common import CUT, Run, case, place_of_last_reply

#: By name, what looks like the end of a body.
_ENDINGS: Final = {
    "lf-dot-lf": b"\n.\n",
    "lf-dot-crlf": b"\n.\r\n",
    "crlf-dot-lf": b"\r\n.\n",
    "cr-dot-cr": b"\r.\r",
    "cr-dot-crlf": b"\r.\r\n",
    "crlf-dot-cr": b"\r\n.\r",
    "crlf-nul-dot-crlf": b"\r\n\0.\r\n",
}
#: A server may have to write the body to its disk before it answers.
_QUIET_S: Final = 1.5
_TEXT: Final = b"Subject: the first line\r\n\r\nthe last one"


def _body(talk: Talk) -> Body:
    assert talk.dialect.body is not None  # noqa: S101 - Need.BODY
    return talk.dialect.body


async def _begun(talk: Talk) -> Client:
    """Return a client that has its go-ahead for a body."""
    client, body = await talk.connect(), _body(talk)
    for exchange in (*body.before, body.exchange):
        try:
            await client.exchange(exchange)
        except Broken as broken:
            reason = f"{broken.fault.reason} to {exchange.request[0]}: {broken.fault.received!r}"
            raise UnjudgedError(f"the server takes no body: {reason}") from None
    return client


async def _ends(talk: Talk) -> None:
    client = await _begun(talk)
    client.send(_TEXT + talk.dialect.terminator + b"." + talk.dialect.terminator)
    await client.reply(_body(talk).accepted, 0)
    await client.steady()


def _ends_not(name: str, cut: Cut) -> Run:
    """Return the script that has a request behind what looks like the end of a body."""

    async def script(talk: Talk) -> None:
        client = await _begun(talk)
        data, asked = client.prepare(talk.dialect.steady)
        # Where a reply has to be waited for, that to the body is enough.
        behind = data if talk.dialect.burst > 1 else b""
        client.send(_TEXT + _ENDINGS[name] + behind, cut)
        said = await client.rest(_QUIET_S)
        client.buffer = said
        ended = client.length_of(_body(talk).accepted) is not None
        if ended or place_of_last_reply(client, said, asked):
            body = _body(talk)
            source = f" ({body.source})" if body.source else ""
            what = f"{name.upper().replace('-', ' ')} ended the body: what is behind it is a request"
            raise talk.broken(what + source, b"", said[:256])

    return script


_ENDS: Final = "TERM-7.ends/whole"

CASES = (
    case("TERM-7", "ends", _ends, needs=(Need.BODY,)),
    *(
        case(
            "TERM-7",
            name,
            _ends_not(name, cut),
            cut.name,
            needs=(Need.BODY,),
            after=(_ENDS, *(CUT if cut is BYTE else ())),
            idle=True,
        )
        for name in _ENDINGS
        for cut in (WHOLE, BYTE)
    ),
)
