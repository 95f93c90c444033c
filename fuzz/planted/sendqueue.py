"""Bugs in what waits to be sent."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "what is being sent does not count against what may wait",
        "handler",
        "if self._under_way + len(self._posted) + len(data) > limit:",
        "if len(self._posted) + len(data) > limit:",
    ),
    Bug(
        "what was sent counts against what may wait for ever",
        "handler",
        "        self._posted.clear()\n        self._under_way = 0",
        "        self._posted.clear()",
    ),
)
