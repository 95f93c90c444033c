"""Capitals, in ASCII and in Unicode: `ascii_capitals`, `Utf8Capitals`, `utf8_capitals`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import codecs
from typing import Final

from .session import Service, StreamTransform

#: a-z becomes A-Z; every other byte is untouched. Stateless, so all sessions may share it.
ascii_capitals: Final[Service] = bytes.upper

#: Bytes that are not UTF-8 pass through the text as these lone surrogates, and come out as they were.
_UNTOUCHED: Final = "surrogateescape"


class Utf8Capitals(StreamTransform):
    """Unicode capitals over a stream that may cut a character anywhere; one for each session.

    Each character is replaced by its full upper-case mapping, which may be longer ("ß" becomes
    "SS"): Unicode 3.13, toUppercase, which looks at one character at a time. Bytes that are not
    UTF-8 are untouched. A character that is cut is held back, three bytes at most, until its rest
    comes, or something that cannot be its rest.
    """

    def __init__(self) -> None:
        super().__init__(self._raise)
        self._decoder = codecs.getincrementaldecoder("utf-8")(_UNTOUCHED)

    def end(self) -> bytes:
        """Return what is held back: it will not become a character any more."""
        return self._raise(b"", final=True)

    def _raise(self, data: bytes, *, final: bool = False) -> bytes:
        return self._decoder.decode(data, final).upper().encode(errors=_UNTOUCHED)


def utf8_capitals(message: bytes) -> bytes:
    """Return a whole message in Unicode capitals, as `Utf8Capitals` would in pieces."""
    return message.decode(errors=_UNTOUCHED).upper().encode(errors=_UNTOUCHED)
