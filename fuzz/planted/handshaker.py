"""Bugs in what comes before a conversation."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a handshake may take for ever",
        "tls",
        "with self._drain.opening(self._limits.opening_timeout) as scope:",
        "with self._drain.opening(1e9) as scope:",
    ),
    Bug(
        "the alert is lost in a reset",
        "tls",
        "await self._linger(sock, scope.deadline)",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a client whose address in the header is forbidden is let in",
        "tls",
        "if objection is not None:\n            raise Refused(objection, client or proxy)",
        "",
    ),
    Bug(
        "a byte behind the PROXY header is lost",
        "tls",
        "taken += len(sock.recv(parser.feed(waiting)))",
        "taken += len(sock.recv(parser.feed(waiting) + (parser.header is not None)))",
    ),
)
