"""Bugs in capitals."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a character that is cut is none",
        "utf8",
        "self._decoder.decode(data, final)",
        'data.decode("utf-8", _UNTOUCHED)',
    ),
    Bug(
        "what is held back is lost at the end",
        "utf8",
        'return self._raise(b"", final=True)',
        'return b""',
    ),
    Bug(
        "what is no character is replaced",
        "utf8",
        '_UNTOUCHED: Final = "surrogateescape"',
        '_UNTOUCHED: Final = "replace"',
    ),
)
