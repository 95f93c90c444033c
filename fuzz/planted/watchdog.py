"""Bugs in the sign of life."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a watchdog takes a quiet server of datagrams for a dead one",
        "datagram",
        "trio.move_on_after(self.turn)",
        "trio.move_on_after(99 * self.turn)",
    ),
)
