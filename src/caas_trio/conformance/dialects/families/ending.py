"""HALF, QUIET, QUIT and IDLE: which side ends a conversation, when, and what still comes."""

from __future__ import annotations

from typing import Final

import trio

from caas_trio.conformance.compare import Broken
from caas_trio.conformance.dialects.dialect import Exchange
from caas_trio.conformance.dialects.talk import Talk, UnjudgedError
from caas_trio.conformance.profile import Need
from caas_trio.conformance.wire import End

from .common import PIPELINED, Run, case, place_of_last_reply

_WATCHED_S: Final = 1.2
#: A server may round its timeouts, and be late by this part of them, and this many seconds.
_ROUNDING: Final = 0.8
_LATE: Final = 1.5
_DRIP_S: Final = 0.25
_BEHIND: Final = 3
_BEHIND_BYTES: Final = 1 << 17


async def _unasked(talk: Talk) -> None:
    client = await talk.connect()
    await client.silence("QUIET-1", _WATCHED_S)
    await client.steady("QUIET-2")
    await client.silence("QUIET-1", _WATCHED_S)


def _owed(count: int | None) -> Run:
    """Return the script that ends its input behind some requests."""

    async def script(talk: Talk) -> None:
        client = await talk.connect()
        asked = client.ask(*[talk.dialect.steady] * min(count or talk.dialect.burst, talk.dialect.burst))
        client.wire.end_input()
        await client.answered(asked)
        await client.closed("HALF-2")

    return script


async def _at_once(talk: Talk) -> None:
    client = await talk.connect()
    client.wire.end_input()
    await client.closed("HALF-2")


async def _tail(talk: Talk) -> None:
    client = await talk.connect()
    data, asked = client.prepare(talk.dialect.steady)
    client.send(data.removesuffix(talk.dialect.terminator))
    client.wire.end_input()
    said = await client.rest()
    is_request = place_of_last_reply(client, said, asked) is not None
    talk.note = (
        f"input that ends without a terminator {'is' if is_request else 'is not'} answered as a request"
    )
    wanted = talk.dialect.ends.tail_is_request
    if wanted is None:
        raise UnjudgedError(f"the dialect does not say what a tail is; here {talk.note}")
    if is_request != wanted:
        source = f" ({talk.dialect.ends.source})" if talk.dialect.ends.source else ""
        raise talk.broken(f"{talk.note}{source}", None, said[:256])


def _end(talk: Talk) -> Exchange:
    assert talk.dialect.end is not None  # noqa: S101 - Need.END
    return talk.dialect.end


async def _quits(talk: Talk) -> None:
    client = await talk.connect()
    await client.exchange(_end(talk), clause="QUIT-1")
    await client.ended("QUIT-5")


async def _quits_in_one(talk: Talk) -> None:
    client = await talk.connect()
    asked = client.ask(talk.dialect.steady, _end(talk))
    await client.answered(asked[:1], "PIPE-1")
    await client.answered(asked[1:], "QUIT-1")
    await client.ended("QUIT-5")


def _behind(size: int) -> Run:
    """Return the script that sends at least `size` bytes of requests behind the end."""

    async def script(talk: Talk) -> None:
        end, steady = _end(talk), talk.dialect.steady
        if not size and end.reply is not None and end.reply.to_end:
            raise UnjudgedError("a reply that goes on to the end cannot be told from two")
        client = await talk.connect()
        more = [client.prepare(steady)[0] for _ in range(_BEHIND)]
        more += [more[0]] * (size // len(more[0]))
        asked = client.ask(end, behind=b"".join(more))
        try:
            await client.replies(asked, "QUIT-1")
        except Broken:
            if client.wire.end is End.RESET:
                reason = "the reply to the end was lost in a reset, which unread input has caused"
                raise talk.broken(reason, clause="QUIT-4") from None
            raise
        said = await client.rest(talk.timeout_s)
        if said:
            raise talk.broken("input behind the end was answered", b"", said[:256], "QUIT-3")
        if client.wire.end is None:
            raise talk.broken("the server's output is still open", clause="QUIT-5")
        if client.wire.end is End.RESET:
            raise talk.broken("the server reset the connection, since it left input unread", clause="QUIT-4")

    return script


async def _idle(talk: Talk) -> None:
    idle_s = talk.dialect.idle_s or 0.0
    talk.extend(idle_s * _LATE)
    client = await talk.connect()
    await client.steady()
    started = trio.current_time()
    await client.rest(idle_s * _LATE + talk.timeout_s)
    passed = trio.current_time() - started
    if client.wire.end is None:
        raise talk.broken(f"a quiet connection was still open after {passed:.3g} seconds")
    if passed < idle_s * _ROUNDING:
        raise talk.broken(f"a quiet connection was ended after {passed:.3g} seconds")


async def _slow_line(talk: Talk) -> None:
    line_s = talk.dialect.line_s or 0.0
    talk.extend(line_s * _LATE)
    client = await talk.connect()
    data, _ = client.prepare(talk.dialect.steady)
    client.send(data[:1])
    with trio.move_on_after(line_s * _LATE + talk.timeout_s):
        while client.wire.end is None and not client.wire.write_failed:
            client.send(b"x")
            await client.more(_DRIP_S)
    if client.wire.end is None and not client.wire.write_failed:
        raise talk.broken(f"a line that does not end was still waited for after {line_s * _LATE:.3g} seconds")


_REPLY: Final = ("QUIT-1.reply/whole",)
_CASE_OF_THREE: Final = ("HALF-1.three/whole",)

CASES = (
    case("HALF-1", "three", _owed(3), after=PIPELINED),
    case(
        "HALF-1", "burst", _owed(None), needs=(Need.PIPELINED,), after=(*_CASE_OF_THREE, "PIPE-1.burst/whole")
    ),
    case("HALF-2", "at-once", _at_once),
    case("HALF-3", "tail", _tail, idle=True),
    case("QUIET-1", "unasked", _unasked, idle=True),
    case("QUIET-2", "stays", _unasked, idle=True),
    case("QUIT-1", "reply", _quits, needs=(Need.END,)),
    case("QUIT-2", "fin", _quits_in_one, needs=(Need.END, Need.PIPELINED), after=(*_REPLY, *PIPELINED)),
    case("QUIT-3", "behind", _behind(0), needs=(Need.END, Need.BEHIND), after=(*_REPLY, *PIPELINED)),
    case(
        "QUIT-4",
        "much-behind",
        _behind(_BEHIND_BYTES),
        needs=(Need.END, Need.BEHIND, Need.FLOOD),
        after=(*_REPLY, *PIPELINED, "QUIT-3.behind/whole"),
    ),
    case("QUIT-5", "ends", _quits, needs=(Need.END,), after=_REPLY),
    case("IDLE-1", "quiet", _idle, needs=(Need.IDLE,), idle=True),
    case("IDLE-2", "slow-line", _slow_line, needs=(Need.SLOW_LINE,), idle=True),
)
