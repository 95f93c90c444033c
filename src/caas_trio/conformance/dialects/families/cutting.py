"""CUT and SAME: what a reply does not depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from caas_trio.conformance.cuts import BEFORE_LF, BYTE, INSIDE_CRLF, THIRDS, Cut
from caas_trio.conformance.dialects.talk import Talk
from caas_trio.conformance.profile import Need

from .common import CUT, PIPELINED, Run, case, halves

_DELAY_S: Final = 0.05
_COMPLETE = ("CUT-2.half/whole", "CUT-2.no-end/whole")


def _slowly(cut: Cut) -> Cut:
    """Return a cut whose pieces are reads of their own on a busy machine too, unless they are many."""
    return cut if cut is BYTE else replace(cut, delay_s=_DELAY_S)


def _probes(cut: Cut) -> Run:
    """Return the script that sends each probe in pieces."""
    slowly = _slowly(cut)

    async def script(talk: Talk) -> None:
        client = await talk.connect()
        for probe in talk.dialect.probes:
            await client.exchange(probe, slowly)
        await client.steady()

    return script


def _across(cut: Cut) -> Run:
    """Return the script that sends several requests in pieces that hold parts of two."""
    slowly = _slowly(cut)

    async def script(talk: Talk) -> None:
        client = await talk.connect()
        await client.answered(client.ask(*[talk.dialect.steady] * min(4, talk.dialect.burst), cut=slowly))
        await client.steady()

    return script


async def _half(talk: Talk) -> None:
    client = await talk.connect()
    first, second, asked = halves(client)
    client.send(first)
    await client.silence()
    client.send(second)
    await client.answered([asked], "CUT-1")


async def _no_end(talk: Talk) -> None:
    client = await talk.connect()
    data, asked = client.prepare(talk.dialect.steady)
    end = len(talk.dialect.terminator)
    client.send(data[:-end])
    await client.silence()
    client.send(data[-end:])
    await client.answered([asked], "CUT-1")


CASES = (
    case("CUT-2", "half", _half, idle=True),
    case("CUT-2", "no-end", _no_end, idle=True),
    *(case("CUT-1", "probes", _probes(cut), cut.name, after=_COMPLETE) for cut in (BYTE, BEFORE_LF, THIRDS)),
    case("CUT-1", "probes", _probes(INSIDE_CRLF), INSIDE_CRLF.name, (Need.CRLF,), after=_COMPLETE),
    *(
        case("CUT-1", "across", _across(cut), cut.name, (Need.PIPELINED,), after=(*CUT, *PIPELINED))
        for cut in (BYTE, THIRDS)
    ),
    # The LF comes with the next request, in one read.
    case(
        "CUT-1",
        "across",
        _across(INSIDE_CRLF),
        INSIDE_CRLF.name,
        (Need.CRLF, Need.PIPELINED),
        after=(*CUT, *PIPELINED),
    ),
)
