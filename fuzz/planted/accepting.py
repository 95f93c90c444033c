"""Bugs in taking connections."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "being out of descriptors ends the server",
        "server",
        "if error.errno not in _NO_ROOM:",
        "if error.errno:",
    ),
    Bug(
        "a connection that is gone before it is accepted ends the server",
        "server",
        "errno.ECONNABORTED,",
        "",
    ),
)
