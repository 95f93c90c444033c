"""Bugs in what comes before a conversation."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a handshake may take for ever",
        "tls",
        "with trio.move_on_after(self._limits.opening_timeout) as scope:",
        "with trio.CancelScope() as scope:",
    ),
    Bug(
        "a handshake is not told of the stop",
        "tls",
        "scope.deadline = min(scope.deadline, trio.current_time() + _STOPPING_TIMEOUT_S)",
        "pass",
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
        "if objection is not None:\n            raise Refused(objection, peer)",
        "",
    ),
    Bug(
        "a client that leaves during the handshake counts as refused",
        "tls",
        "            raise ConnectionLost from error\n        # The",
        "            raise HandshakeFailed('left') from error\n        # The",
    ),
    Bug(
        "a byte behind the PROXY header is lost",
        "tls",
        "taken += len(sock.recv(parser.feed(waiting)))",
        "taken += len(sock.recv(parser.feed(waiting) + (parser.header is not None)))",
    ),
    Bug(
        "an error of the stream escapes a handshake",
        "tls",
        "except trio.BrokenResourceError as error:\n            match",
        "except trio.ClosedResourceError as error:\n            match",
    ),
)
