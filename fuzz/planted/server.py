"""Bugs in what a server does around its connections."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "what waits in the accept queue at the stop is dropped",
        "server",
        "acceptor.accept_waiting(sock, stats, limit)",
        "pass",
    ),
    Bug(
        "a client that waits for room at the stop is cut off",
        "server",
        "shared.admission.end_waiting()",
        "pass",
    ),
    Bug(
        "the drain has no end",
        "server",
        "connections.cancel_scope.deadline = stopped + self._settings.limits.drain_timeout",
        "pass",
    ),
    Bug(
        "conversations are not told of the stop",
        "server",
        "self._drain.begin()",
        "pass",
    ),
)
