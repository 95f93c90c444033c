"""Bugs in a read of a handler."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a line that was begun may take for ever",
        "connection",
        "line = self._buffer.unfinished\n",
        "line = 0\n",
    ),
)
