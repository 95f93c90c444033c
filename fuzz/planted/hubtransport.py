"""Bugs in the socket of a connection of the fast driver."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a close with unread input resets the connection",
        "server",
        "if self.write_buffer or not self.eof_received:",
        "if self.write_buffer:",
    ),
)
