"""Bytes for a terminal, and from one: `Screen`, which escapes all that would act on it; `LineEnds`."""

from __future__ import annotations

import codecs
import re
from typing import Final

from caas_trio.core.printable import printable
from caas_trio.core.terminator import CR, CRLF

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")


class Screen:
    r"""Turns what a server sends into text for a terminal, however it is cut into reads.

    Lines and tabs stay, CR LF is a line's end, and UTF-8 is decoded. Every other control character, and
    every byte that is not UTF-8, is escaped in the notation of Python.
    """

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        self._held = ""  # a CR that an LF may follow

    def show(self, data: bytes) -> str:
        """Return the text for what one read gave; for b"", the end, return what was held back."""
        text = self._held + self._decoder.decode(data, final=not data)
        self._held = "\r" if data and text.endswith("\r") else ""
        lines = text[: len(text) - len(self._held)].replace("\r\n", "\n").split("\n")
        return "\n".join("\t".join(map(printable, line.split("\t"))) for line in lines)


class LineEnds:
    """Turns each LF into CR LF that does not follow a CR already, however the input is cut into reads."""

    def __init__(self) -> None:
        self._after_cr = False

    def convert(self, data: bytes) -> bytes:
        """Return the bytes to send for what one read gave."""
        converted = _BARE_LF.sub(CRLF, CR + data if self._after_cr else data)
        converted = converted[len(CR) :] if self._after_cr else converted
        self._after_cr = data.endswith(CR)
        return converted
