"""Bugs in what handlers talk through."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a read that was given up keeps others from reading",
        "connection",
        "self._receiving = False\n            wanted.taken = None\n        if line is None:",
        "wanted.taken = None\n        if line is None:",
    ),
    Bug(
        "two tasks may read at once",
        "connection",
        "if self._receiving or self._closed:\n            raise self._misused(call)",
        "if self._closed:\n            raise self._misused(call)",
    ),
    Bug(
        "a line that was only begun is returned at the drain",
        "connection",
        "return wanted.taken\n",
        "return wanted.taken if wanted.closing else self._buffer.take_rest() or None\n",
    ),
    Bug(
        "fewer bytes come than were asked for",
        "connection",
        "raise self._own(InputEnded(count, len(self._buffer)))",
        "return self._buffer.take_rest()",
    ),
    Bug(
        "an input that ended early counts as empty",
        "connection",
        "raise self._own(InputEnded(count, len(self._buffer)))",
        "raise InputEnded(count, 0)",
    ),
)
