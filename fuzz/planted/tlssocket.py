"""Bugs in TLS over a socket of the hub's."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "over the hub an input that was cut off counts as ended",
        "tls",
        'raise ConnectionResetError("the input ended without close_notify")',
        'return b""',
    ),
    Bug(
        "over the hub what TLS has taken in is not asked for",
        "tls",
        "data = None if engine.drained else engine.read(max_bytes)",
        "data = None",
    ),
    Bug(
        "records that the kernel did not take are lost",
        "tls",
        "self._records = memoryview(self._records)[sent:]\n                return False",
        'self._records = b""',
    ),
    Bug(
        "what the kernel has no room for counts as sent",
        "tls",
        "if not sent:\n            raise BlockingIOError\n        return sent",
        "return size",
    ),
    Bug(
        "over the hub the transport is left open behind close_notify",
        "tls",
        "self.raw.shutdown(how)",
        "pass",
    ),
    Bug(
        "an alert is left unsent",
        "tls",
        "with suppress(OSError):\n                self._push()\n            raise HandshakeFailed",
        "raise HandshakeFailed",
    ),
    Bug(
        "a client that leaves during the handshake counts as refused",
        "tls",
        "raise ConnectionLost\n                self._records",
        "raise HandshakeFailed('left')\n                self._records",
    ),
)
