"""TERM and SAME: what else ends a line. It is reported, and judged where the standard says what it is."""

from __future__ import annotations

import enum
from typing import Final

from caas_trio.conformance.cuts import WHOLE, Cut, at
from caas_trio.conformance.dialects.dialect import Meaning
from caas_trio.conformance.dialects.parsing import ENDS
from caas_trio.conformance.dialects.talk import Talk, UnjudgedError

from .common import CUT, PIPELINED, Run, case, place_of_last_reply

_NAMES: Final = {"bare_lf": "a bare LF", "bare_cr": "a bare CR", "cr_cr_lf": "CR CR LF", "nul": "a NUL"}
_CLAUSES: Final = {"bare_lf": "TERM-2", "bare_cr": "TERM-3", "cr_cr_lf": "TERM-4", "nul": "TERM-5"}
_TIMES: Final = 10
#: Short, since it is waited for many times.
_QUIET_S: Final = 0.15
#: What the longest of these scripts spends in silences.
_SILENCES_S: Final = 10.0


class Taken(enum.Enum):
    """The effect of some bytes on a server; the value says it in words."""

    END = "ends a line"
    PAYLOAD = "ends no line"
    REFUSED = "ends the conversation"
    IGNORED = "makes the server say nothing"


async def _taken(talk: Talk, end: bytes, cut: Cut = WHOLE, clause: str = "") -> Taken:
    """Return what a server takes some bytes for: they stand between two requests."""
    client = await talk.connect(clause)
    first, asked_first = client.prepare(talk.dialect.steady, end)
    second, asked_second = client.prepare(talk.dialect.steady)
    client.send(first + second, cut)
    said = await client.rest(_QUIET_S)
    if not said and client.wire.end is None:
        said = await client.rest()
    ended = client.wire.end is not None
    client.wire.close()
    client.buffer = said
    both = client.take(asked_first) and client.take(asked_second)
    if not both:
        # The first was not answered as it should be, for what stands behind it.
        both = bool(place_of_last_reply(client, said, asked_second))
    if both:
        return Taken.END
    if ended:
        return Taken.REFUSED
    return Taken.PAYLOAD if said else Taken.IGNORED


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
        data, asked = client.prepare(talk.dialect.steady, terminator)
        client.send(data)
        await client.answered([asked])


async def _astride(talk: Talk) -> None:
    """Cut before the bytes, behind them, and between them."""
    talk.extend(_SILENCES_S)
    for key, end in ENDS.items():
        whole = await _taken(talk, end)
        size = len(talk.dialect.steady.sent(100_000, end))
        for offset in range(size - len(end), size + 1):
            taken = await _taken(talk, end, at(offset, "astride"))
            if (taken is Taken.END) != (whole is Taken.END):
                cut = f"a read ends {offset - size + len(end)} bytes into it"
                raise talk.broken(f"{_NAMES[key]} {whole.value} in one read, and {taken.value} if {cut}")


async def _same(talk: Talk) -> None:
    talk.extend(_SILENCES_S)
    for key, end in ENDS.items():
        first = await _taken(talk, end, clause="SAME-1")
        for number in range(2, _TIMES + 1):
            again = await _taken(talk, end, clause="SAME-1")
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
