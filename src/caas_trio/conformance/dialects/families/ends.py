"""TERM and SAME: what else ends a line. It is reported, and judged where the standard says what it is."""

from __future__ import annotations

import enum
from dataclasses import replace
from typing import Final

import trio

from caas_trio.conformance.cuts import WHOLE, Cut, at
from caas_trio.conformance.dialects.dialect import Meaning
from caas_trio.conformance.dialects.parsing import ENDS
from caas_trio.conformance.dialects.talk import QUIET_S, Asked, Client, Talk, UnjudgedError

from .common import CUT, PIPELINED, Run, case, place_of_last_reply

_NAMES: Final = {"bare_lf": "a bare LF", "bare_cr": "a bare CR", "cr_cr_lf": "CR CR LF", "nul": "a NUL"}
_CLAUSES: Final = {"bare_lf": "TERM-2", "bare_cr": "TERM-3", "cr_cr_lf": "TERM-4", "nul": "TERM-5"}
_TIMES: Final = 10
#: Short, since it is waited for many times.
_QUIET_S: Final = 0.15
#: Before it is known what a server does, a slow one has to have this long.
_SURELY_QUIET_S: Final = 1.0
#: Two pieces have to be two reads, of a busy server too.
_ASTRIDE_S: Final = 0.05
#: What the longest of these scripts spends in silences.
_SILENCES_S: Final = 60.0


class Taken(enum.Enum):
    """The effect of some bytes on a server; the value says it in words."""

    END = "ends a line"
    PAYLOAD = "ends no line"
    REFUSED = "ends the conversation"
    IGNORED = "makes the server say nothing"


async def _taken(
    talk: Talk, end: bytes, cut: Cut = WHOLE, clause: str = "", before: Taken | None = None
) -> Taken:
    """Return what a server takes some bytes for: they stand between two requests, or behind one.

    An answer proves that they end a line, and comes at once. Silence proves nothing until it has lasted, so
    it is waited for in full where the answer came before, and shortly where it did not.

    Args:
        talk: the clients.
        end: the bytes.
        cut: how they are sent.
        clause: what is broken if there is no connection or no greeting.
        before: what the server took them for before; None if this is the first time.
    """
    client = await talk.connect(clause)
    if talk.dialect.burst == 1:
        return await _taken_alone(client, end, cut, before)
    first, asked_first = client.prepare(talk.dialect.steady, end)
    second, asked_second = client.prepare(talk.dialect.steady)
    client.send(first + second, cut)
    quiet_s = {None: _SURELY_QUIET_S, Taken.END: talk.timeout_s}.get(before, _QUIET_S)
    said = b""
    while not _both_answered(client, said, asked_first, asked_second) and await client.more(quiet_s):
        said += await client.rest(0.0)
    if client.wire.end is None and not _both_answered(client, said, asked_first, asked_second):
        said = await _settled(client, said)
    ended = client.wire.end is not None
    client.wire.close()
    if _both_answered(client, said, asked_first, asked_second):
        return Taken.END
    if ended:
        return Taken.REFUSED
    return Taken.PAYLOAD if said else Taken.IGNORED


def _both_answered(client: Client, said: bytes, first: Asked, second: Asked) -> bool:
    """Return whether some bytes are the replies to two requests."""
    client.buffer = said
    if client.take(first) and client.take(second):
        return True
    # The first was perhaps not answered as it should be, for what stands behind it.
    return bool(place_of_last_reply(client, said, second))


async def _settled(client: Client, said: bytes) -> bytes:
    """Return all that is said to what was sent so far: a third request is answered behind it."""
    data, asked = client.prepare(client.talk.dialect.steady)
    client.send(data)
    with trio.move_on_after(client.talk.timeout_s):
        while True:
            said += await client.rest()
            place = place_of_last_reply(client, said, asked)
            if place is not None or client.wire.end is not None:
                return said[:place]
    return said + client.buffer


async def _taken_alone(client: Client, end: bytes, cut: Cut, before: Taken | None) -> Taken:
    """Return what a server takes some bytes for, by whether it answers before the terminator is there."""
    data, asked = client.prepare(client.talk.dialect.steady, end)
    client.send(data, cut)
    settled = before not in (None, Taken.END)
    taken = Taken.END
    said = await _answer(client, QUIET_S if settled else client.talk.timeout_s)
    if before is not None and settled and not said and client.wire.end is None:
        taken = before
    elif not said and client.wire.end is None:
        client.send(client.talk.dialect.terminator)
        said = await _answer(client, client.talk.timeout_s)
        taken = Taken.PAYLOAD if said else Taken.IGNORED
    ended = client.wire.end is not None
    client.wire.close()
    client.buffer = said
    refused = ended and not client.take(asked) and not client.talk.dialect.once
    return Taken.REFUSED if refused or (ended and not said) else taken


async def _answer(client: Client, seconds: float) -> bytes:
    """Return what is said, if it begins in time."""
    return await client.rest() if await client.more(seconds) else b""


def _judged(key: str) -> Run:
    async def script(talk: Talk) -> None:
        taken = await _taken(talk, ENDS[key])
        talk.note = f"{_NAMES[key]} {taken.value}"
        wanted = talk.dialect.ends.meanings.get(key)
        if wanted is None:
            raise UnjudgedError(f"the dialect does not say what {_NAMES[key]} is; here it {taken.value}")
        if (taken is Taken.END) != (wanted is Meaning.END):
            source = f" ({talk.dialect.ends.source})" if talk.dialect.ends.source else ""
            must = "must" if wanted is Meaning.END else "must not"
            raise talk.broken(f"{talk.note}; it {must} end one{source}")

    return script


async def _each_terminator(talk: Talk) -> None:
    client = await talk.connect()
    for terminator in talk.dialect.terminators:
        await client.exchange(talk.dialect.steady, terminator=terminator)


async def _astride(talk: Talk) -> None:
    """Cut before the bytes, behind them, and between them."""
    talk.extend(_SILENCES_S)
    for key, end in ENDS.items():
        whole = await _taken(talk, end)
        size = len(talk.dialect.steady.sent(100_000, end))
        for offset in range(size - len(end), size + 1):
            cut = replace(at(offset, "astride"), delay_s=_ASTRIDE_S)
            taken = await _taken(talk, end, cut, before=whole)
            if (taken is Taken.END) != (whole is Taken.END):
                where = f"a read ends {offset - size + len(end)} bytes into it"
                raise talk.broken(f"{_NAMES[key]} {whole.value} in one read, and {taken.value} if {where}")


async def _same(talk: Talk) -> None:
    talk.extend(_SILENCES_S)
    for key, end in ENDS.items():
        first = await _taken(talk, end, clause="SAME-1")
        for number in range(2, _TIMES + 1):
            again = await _taken(talk, end, clause="SAME-1", before=first)
            if (again is Taken.END) != (first is Taken.END):
                reason = f"{_NAMES[key]} {first.value} at first, and {again.value} the {number}th time"
                raise talk.broken(reason)


_STABLE: Final = ("SAME-1.ends/whole",)

CASES = (
    case("TERM-1", "each", _each_terminator),
    case("SAME-1", "ends", _same, after=(*CUT, *PIPELINED), idle=True),
    *(case(_CLAUSES[key], key.replace("_", "-"), _judged(key), after=_STABLE, idle=True) for key in ENDS),
    case("TERM-6", "astride", _astride, after=(*_STABLE, "TERM-1.each/whole"), idle=True),
)
