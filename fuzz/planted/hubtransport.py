"""Bugs in the socket of a connection of the fast driver."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a close with unread input resets the connection",
        "server",
        "return self.eof_received and not self.write_buffer",
        "return not self.write_buffer",
    ),
)
