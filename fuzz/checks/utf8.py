"""`Utf8Capitals`: the same capitals however the stream is cut, and at most three bytes held back.

`utf8_capitals`: the same for a whole message.

The oracle reads one character after the other and leaves alone what is none.
"""

from __future__ import annotations

import bisect
from typing import Final

from caas_trio.core.capitals import Utf8Capitals, utf8_capitals
from caas_trio.core.session import LineSession, Oversize
from fuzz.script import header, steps

from .chunks import cut, cuts

MODULES: Final = ("caas_trio.core.capitals",)

#: Characters of two, three and four bytes, some whose capitals are longer or shorter, and what is none.
_CHARACTERS: Final = (
    "\u00df",
    "\u0131",
    "\u0250",
    "\u0390",
    "\u1e9e",
    "\u20ac",
    "\ufb03",
    "\U00010428",
    "\U0001f600",
)
TOKENS: Final = (
    *cuts([each.encode() for each in _CHARACTERS]),
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xf4\x90\x80\x80",
)

_MAX_LIMIT: Final = 24
_LONGEST: Final = 4  # bytes of a character
#: From which first byte on a character has 1, 2, 3, 4 bytes (RFC 3629, section 3), if it is one.
_LEADS: Final = (0, 0xC0, 0xE0, 0xF0)


def check(data: bytes) -> None:
    """Raise a script to capitals in the pieces it comes in, by itself and in a session."""
    _, limit, cutting, _ = header(data)
    limit = limit % _MAX_LIMIT + 1
    pieces = [piece for chunk, _ in steps(data, limit, frozenset()) for piece in cut(chunk, cutting)]
    received = said = b""
    service = Utf8Capitals()
    session = LineSession(Utf8Capitals(), max_line=limit, oversize=Oversize.STREAM)
    answered = session.open()
    for piece in pieces:
        received += piece
        said += service(piece)
        heard = (_capitals(received[: len(received) - held]) for held in _may_be_held(received))
        assert said in heard, f"{said!r} instead of {_capitals(received)!r}, or a little less"
        answered += session.receive(piece)
    expected = _capitals(received)
    said += service.end()
    assert said == expected, f"{said!r} instead of {expected!r} in the end"
    answered += session.end_of_input()
    assert answered == expected, f"{answered!r} instead of {expected!r} from a session"
    message = utf8_capitals(received)
    assert message == expected, f"{message!r} instead of {expected!r} for a whole message"


def _capitals(data: bytes) -> bytes:
    """Raise every character to capitals; a byte that begins none stays as it is."""
    raised = []
    at = 0
    while at < len(data):
        size = bisect.bisect(_LEADS, data[at])
        character = _character(data[at : at + size])
        size = size if character else 1
        raised.append(character.upper().encode() if character else data[at : at + 1])
        at += size
    return b"".join(raised)


def _character(data: bytes) -> str | None:
    """Return `data` as one character; None if it is not one."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if len(text) == 1 else None


def _may_be_held(data: bytes) -> range:
    """Return how many bytes at the end may be held back: none behind ASCII, else what a character lacks."""
    return range(1) if data[-1:] < b"\x80" else range(min(len(data), _LONGEST - 1) + 1)
