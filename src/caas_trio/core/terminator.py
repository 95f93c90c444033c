"""What ends a line: `Terminator`, and where the strict one does.

CR LF is strict: a CR or an LF that stands alone belongs to no line. Two readers of one stream that
disagree on such a byte can be made to see different messages (SMTP smuggling, CVE-2023-51764 to -51766).

The functions say where a line ends, in bytes that begin where a line does. No byte is looked at twice
for one line, and none behind the line that is broken.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
import re
from typing import Final, NamedTuple

CR: Final = b"\r"
LF: Final = b"\n"
CRLF: Final = b"\r\n"

#: A pattern that begins with one of two bytes is searched for as fast as a single byte.
_BARE: Final = re.compile(rb"\r(?!\n)|\n(?<!\r\n)")


class Terminator(enum.Enum):
    """What ends a line; the value is its bytes."""

    __hash__ = object.__hash__  # written in C, unlike Enum's

    LF = b"\n"
    """One LF byte, and nothing else: a CR is payload."""
    CRLF = b"\r\n"
    """CR LF. A bare CR or a bare LF is the peer's error, `BareTerminator`."""


#: By the words that options have for them.
TERMINATORS: Final = {"lf": Terminator.LF, "crlf": Terminator.CRLF}


class Found(NamedTuple):
    """The state of the line at the front.

    Attributes:
        end: where it ends, its terminator included; 0 if that is not known yet.
        seen: how many bytes need not be looked at again, if that is not known yet.
        bare: where its first bare CR or LF is; -1 if there is none.
    """

    end: int
    seen: int
    bare: int = -1


#: The `end` of a line that is too long.
TOO_LONG: Final = -1


def line_end(source: bytes | bytearray, seen: int, max_line: int, *, ended: bool) -> Found:
    """Return where the first line ends, by strict CR LF.

    A bare byte that is not among the first `max_line` ones is part of a line that is too long. A CR
    at the end is bare only if the input has ended.

    Args:
        source: what has been received.
        seen: how many bytes of it a call before this one has seen.
        max_line: the most bytes before CR LF.
        ended: whether nothing more will come: then the rest is a line.
    """
    found = source.find(CRLF, seen, max_line + len(CRLF))
    stop = found if found >= 0 else _known(source, len(source), ended=ended)
    bare = _first_of_either(source, seen, min(stop, max_line))
    if bare >= 0:
        return Found(0, 0, bare)
    if found >= 0:
        return Found(found + len(CRLF), 0)
    if stop > max_line:
        return Found(TOO_LONG, 0)
    return Found(stop, 0) if ended else Found(0, stop)


def piece_end(source: bytes | bytearray, seen: int, max_bytes: int, *, ended: bool) -> Found:
    """Return where the first line ends, or its first `max_bytes` bytes: one less rather than within CR LF."""
    found = source.find(CRLF, seen, max_bytes)
    full = len(source) >= max_bytes
    stop = found if found >= 0 else _known(source, min(len(source), max_bytes), ended=ended and not full)
    bare = _first_of_either(source, seen, stop)
    if bare >= 0:
        return Found(0, 0, bare)
    if found >= 0:
        return Found(found + len(CRLF), 0)
    return Found(stop, 0) if full or ended else Found(0, stop)


def block_end(source: bytes | bytearray, end: int, max_line: int, *, ended: bool) -> int:
    """Return where the last line ends that may be taken together with those before it.

    Args:
        source: what has been received.
        end: where the first line ends.
        max_line: the most bytes before CR LF.
        ended: whether nothing more will come.
    """
    reach = max_line + len(CRLF)
    while True:
        # No bare byte before `stop`, so the last CR LF there ends a line within the limit, as all before it.
        # The next one ends beyond: of two hops in a row, the second leads out of what the first one saw.
        stop, bare = _first_bare(source, end, min(len(source), end + reach))
        last = source.rfind(CRLF, end, stop)
        if last < 0:
            break
        end = last + len(CRLF)
        if bare:
            return end
    if ended and not bare and len(source) - end <= max_line and not source.endswith(CR):
        return len(source)
    return end


def pieces_end(source: bytes | bytearray, seen: int, *, ended: bool) -> tuple[int, int, bool]:
    """Return where the last whole line ends, where to stop, and whether that is at a bare CR or LF.

    Args:
        source: what has been received, and may begin within a line.
        seen: how many bytes of it a call before this one has seen.
        ended: whether nothing more will come.
    """
    stop = _known(source, len(source), ended=ended)
    bare = _BARE.search(source, seen, stop)
    if bare:
        stop = bare.start()
    last = source.rfind(CRLF, seen, stop)
    return (last + len(CRLF) if last >= 0 else 0), stop, bare is not None


def has_bare(data: bytes) -> bool:
    """Return whether there is a bare CR or a bare LF."""
    return _BARE.search(data) is not None


def _known(source: bytes | bytearray, stop: int, *, ended: bool) -> int:
    """Return `stop`, or one less if the byte before it is a CR that its LF may follow."""
    return stop - 1 if not ended and source[stop - 1 : stop] == CR else stop


def _first_of_either(source: bytes | bytearray, start: int, stop: int) -> int:
    """Return where the first CR or LF is; -1 if there is none."""
    lf = source.find(LF, start, stop)
    cr = source.find(CR, start, stop if lf < 0 else lf)
    return lf if cr < 0 else cr


def _first_bare(source: bytes | bytearray, start: int, stop: int) -> tuple[int, bool]:
    """Return where the first bare CR or LF is, or `stop`, and whether there is one."""
    bare = _BARE.search(source, start, _known(source, stop, ended=False))
    return (bare.start(), True) if bare else (stop, False)
