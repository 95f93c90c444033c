"""Bugs in what serves a connection: a session, or a handler."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "all connections share a session",
        "server",
        "self._served_by = self._shared.service()\n        turn",
        'self._served_by = vars(self._shared.tasks).setdefault("one", self._shared.service())\n        turn',
    ),
)
