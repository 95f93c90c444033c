"""Bugs in what the hub's epoll watches."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a socket that was given back is still watched",
        "server",
        "self.epoll.unregister(fd)",
        "pass",
    ),
)
