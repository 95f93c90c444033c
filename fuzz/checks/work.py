"""The work for a byte is bounded, whatever mixture of lines comes in and however it is taken.

Work is bytes searched and copied, not seconds. The text of a script is repeated until it fills some
reads; its steps are the calls that take, again and again, oversize lines included.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from caas_trio.core.errors import LineTooLong
from caas_trio.core.framing import LineBuffer
from caas_trio.core.session import LineSession, Oversize
from fuzz.script import CUT, ESCAPE, header, steps, tokens

from .chunks import cuts
from .counted import CountedBytes, CountedChunk, Work

MODULES: Final = ("caas_trio.core.framing", "caas_trio.core.buffering")

#: Steps: the calls that take. Those of the second row want a number of bytes, the last one a delimiter.
_TAKE: Final = dict(zip(b"nlp", ("next_line", "take_lines", "take_pieces"), strict=True))
_TAKE_COUNT: Final = dict(zip(b"wes", ("take_line_piece", "take_exactly", "take_some"), strict=True))
_UNTIL: Final = ord("u")
_KNOWN: Final = frozenset({*_TAKE, *_TAKE_COUNT, _UNTIL})
_DELIMITERS: Final = (b"\n", b"\r\n", b"pp", b"aba")
TOKENS: Final = (*tokens(_KNOWN), *cuts(_DELIMITERS), ESCAPE + b">\n", ESCAPE + b">\n" + ESCAPE + b">\n")

_TOTAL_BYTES: Final = 1024
#: What one read gives, in bytes; the last one is all.
_READ_BYTES: Final = (4, 32, 200, _TOTAL_BYTES)
#: The bound: for each byte (it is copied in and out, and searched once in some ways), and for each call.
_WORK_PER_BYTE, _WORK_PER_CALL = 8, 16


def check(data: bytes) -> None:
    """Feed the text of a script to a buffer or a session, and count the work."""
    mode, limit, sizes, count = header(data)
    limit = limit % 64 + 1 << (sizes >> 4 & 3) * 2
    script = steps(data, limit, _KNOWN)
    pattern = b"".join(chunk for chunk, _ in script) or b"\n"
    text = (pattern * (_TOTAL_BYTES // len(pattern) + 1))[:_TOTAL_BYTES]
    size = _READ_BYTES[sizes & 3]
    reads = [text[start : start + size] for start in range(0, len(text), size)]
    Work.walked = 0
    if mode & 1:
        calls = _converse(reads, limit, (Oversize.DISCARD, Oversize.STREAM)[mode >> 1 & 1])
    else:
        delimiter = _DELIMITERS[count & 3]
        signs = [sign for _, sign in script if sign != CUT] or [ord("n")]
        calls = _take([_call(sign, count >> 2 & 15 or 1, delimiter) for sign in signs], reads, limit)
    limit = _WORK_PER_BYTE * len(text) + _WORK_PER_CALL * calls
    assert Work.walked <= limit, f"{Work.walked} bytes walked over for {len(text)} in {calls} calls"


def _call(sign: int, count: int, delimiter: bytes) -> partial[bytes | None]:
    if sign in _TAKE:
        return partial(getattr(LineBuffer, _TAKE[sign]))
    if sign in _TAKE_COUNT:
        return partial(_with_argument, _TAKE_COUNT[sign], count)
    return partial(_with_argument, "take_until", delimiter)


def _with_argument(name: str, argument: object, buffer: LineBuffer) -> bytes | None:
    taken: bytes | None = getattr(buffer, name)(argument)
    return taken


def _counting(limit: int) -> LineBuffer:
    buffer = LineBuffer(limit)
    buffer._buffer = CountedBytes()
    return buffer


def _take(plan: list[partial[bytes | None]], reads: list[bytes], limit: int) -> int:
    """Feed reads to a buffer, and take as the plan says until it takes nothing; return the calls."""
    buffer = _counting(limit)
    calls = 0
    for read in reads:
        buffer.feed(CountedChunk(read))
        held = -1
        while held != len(buffer):
            held = len(buffer)
            for take in plan:
                calls += 1
                with suppress(LineTooLong):
                    take(buffer)
    return calls


def _converse(reads: list[bytes], limit: int, oversize: Oversize) -> int:
    """Feed reads to a session that serves line by line; return the calls."""
    session = LineSession(lambda line: line, max_line=limit, oversize=oversize)
    session.open()
    session._buffer = _counting(limit)
    for read in reads:
        session.receive(CountedChunk(read))
    return len(reads) + sum(map(len, reads)) // limit  # a notice or a reply for each line
