"""LONG: lines of the length that the standard sets, and longer ones."""

from __future__ import annotations

from typing import Final

from caas_trio.conformance.cuts import WHOLE, Cut, at, every
from caas_trio.conformance.dialects.dialect import LineLimit, Oversize
from caas_trio.conformance.dialects.talk import Client, Talk
from caas_trio.conformance.profile import Need

from .common import CUT, Run, case, place_of_last_reply

#: Where servers are known to cut what they read: the limits of standards, and the sizes of buffers.
_BUFFERS: Final = (512, 1000, 1024, 2048, 4096, 8192, 16384, 65536)
_FAR: Final = 10
_EXACT: Final = ("LONG-1.exact/whole",)
#: Of one request, and one reply, nothing can be taken for another.
_SEVERAL: Final = (Need.SEVERAL_REQUESTS,)
_OVERSIZE: Final = (Need.OVERSIZE,)


def _line(talk: Talk) -> LineLimit:
    assert talk.dialect.line is not None  # noqa: S101 - Need.LIMIT_OF_LINES
    return talk.dialect.line


def _oversize(talk: Talk) -> Oversize:
    assert talk.dialect.oversize is not None  # noqa: S101 - Need.OVERSIZE
    return talk.dialect.oversize


def _exact(cut: int | None = None) -> Run:
    """Return the script that sends a line as long as it may be; cut so far before its end."""

    async def script(talk: Talk) -> None:
        line = _line(talk)
        client = await talk.connect()
        _, asked = client.prepare(line.exchange)
        data = line.exchange.padded(line.size or 0, asked.number, talk.dialect.terminator)
        client.send(data, WHOLE if cut is None else at(len(data) - cut, "end"))
        await client.answered([asked])
        await client.steady()

    return script


def _ghost(boundary: int | None) -> Run:
    """Return the script whose line is a request again from some place on."""

    async def script(talk: Talk) -> None:
        line, terminator = _line(talk), talk.dialect.terminator
        client = await talk.connect()
        ghost, asked = client.prepare(talk.dialect.ghost)
        size = (boundary or line.size or 0) + len(terminator)
        front = line.exchange.padded(size, asked.number, terminator).removesuffix(terminator)
        client.send(front + ghost)
        said = await client.rest()
        place = place_of_last_reply(client, said, asked)
        # Where no number tells one reply from another, the only one may be that to the whole line.
        alone = place == 0 and not talk.dialect.ghost_is_distinct
        if place is not None and not alone:
            reason = f"the end of a line, {len(front)} bytes into it, was taken for a request"
            raise talk.broken(reason, None, said[:256])

    return script


async def _send_oversize(talk: Talk, times: int, cut: Cut) -> Client:
    """Return a client that has sent a line that is too long, and has the reply."""
    line, oversize = _line(talk), _oversize(talk)
    client = await talk.connect()
    _, asked = client.prepare(line.exchange)
    client.send(line.exchange.padded(oversize.size * times, asked.number, talk.dialect.terminator), cut)
    if oversize.reply is not None:
        await client.reply(oversize.reply, asked.number)
    return client


def _one_reply(times: int, cut: Cut = WHOLE) -> Run:
    async def script(talk: Talk) -> None:
        talk.extend(times)
        client = await _send_oversize(talk, times, cut)
        said = await client.rest()
        if said:
            raise talk.broken("a line that is too long gets more than one reply", b"", said[:256])

    return script


async def _afterwards(talk: Talk) -> None:
    client = await _send_oversize(talk, 1, WHOLE)
    if _oversize(talk).goes_on:
        await client.steady()
        return
    await client.rest(talk.timeout_s)
    if client.wire.end is None:
        raise talk.broken("the conversation goes on behind a line that is too long")


CASES = (
    case("LONG-2", "ghost-limit", _ghost(None), needs=(Need.LIMIT_OF_LINES, *_SEVERAL), idle=True),
    case("LONG-1", "exact", _exact(), needs=(Need.LIMIT_OF_LINES,)),
    *(
        case("LONG-1", "exact", _exact(cut), name, (Need.LIMIT_OF_LINES,), after=(*_EXACT, *CUT))
        for name, cut in (("before-lf", 1), ("before-end", 2))
    ),
    *(
        case("LONG-2", f"ghost-{size}", _ghost(size), needs=(Need.LONG_LINES, *_SEVERAL), idle=True)
        for size in _BUFFERS
    ),
    case("LONG-3", "once", _one_reply(1), needs=_OVERSIZE),
    case("LONG-3", "far-beyond", _one_reply(_FAR), needs=_OVERSIZE, after=("LONG-3.once/whole",)),
    case(
        "LONG-3",
        "once",
        _one_reply(1, every(100, "every-100", 0.001)),
        "every-100",
        _OVERSIZE,
        after=("LONG-3.once/whole", *CUT),
    ),
    case("LONG-4", "afterwards", _afterwards, needs=_OVERSIZE, after=("LONG-3.once/whole",)),
)
