"""Bugs in the worker processes, as their supervisor sees them."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a worker that breaks the protocol ends the supervisor",
        "control",
        "except ControlError as error:",
        "except KeyError as error:",
    ),
    Bug(
        "a worker that is stopped counts as ready",
        "control",
        "return self._ready_at is not None and not self.ending",
        "return self._ready_at is not None",
    ),
    Bug(
        "a worker whose process stays is waited for without end",
        "control",
        "with self._deadline:\n                await self._converse()",
        "await self._converse()",
    ),
)
