"""Bugs in the stop."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "what is there already when the drain begins goes unread",
        "server",
        "DRAIN_READ_TIMEOUT_S if self.begun",
        "0 if self.begun",
    ),
    Bug(
        "a handshake is not told of the stop",
        "tls",
        "scope.deadline = min(scope.deadline, trio.current_time() + STOPPING_TIMEOUT_S)",
        "pass",
    ),
)
