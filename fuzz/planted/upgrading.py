"""Bugs in the way from plain to TLS."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "what was sent in plain is kept for the conversation over TLS",
        "start_tls",
        "if self._buffer or self._buffer.unfinished:",
        "if False:",
    ),
    Bug(
        "a connection whose upgrade failed stays open",
        "start_tls",
        "self._closed = True",
        "pass",
    ),
    Bug(
        "an upgrade may take for ever",
        "start_tls",
        "with self._drain.opening(self._limits.opening_timeout):",
        "with self._drain.opening(1e9):",
    ),
)
