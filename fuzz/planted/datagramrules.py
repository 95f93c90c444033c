"""Bugs in the rules of datagrams."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a reply may be longer than its request",
        "datagram",
        "if len(reply) > len(datagram.data):",
        "if len(reply) > len(datagram.data) + 1:",
    ),
    Bug(
        "a client without an address is answered",
        "datagram",
        'case None | "" | b"" | (_, 0, *_):',
        "case (_, 0, *_):",
    ),
    Bug(
        "a reply as long as its request is withheld",
        "datagram",
        "if len(reply) > len(datagram.data):",
        "if len(reply) >= len(datagram.data) > 3:",
    ),
)
