"""Bugs in a connection of the fast driver."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a client that does not read is never dropped",
        "server",
        "if now - self.stamp >= limits.write_timeout else None",
        "if now < self.stamp else None",
    ),
    Bug(
        "a line may take for ever",
        "server",
        "if self._begun is not None and now - self._begun[1] >= limits.line_timeout:",
        "if self._begun is not None and now < self._begun[1]:",
    ),
    Bug(
        "a connection may be quiet for ever",
        "server",
        "if now - max(self.stamp, self.sent_at) >= limits.idle_timeout else None",
        "if now < self.stamp else None",
    ),
    Bug(
        "a client is prompted although it has just spoken",
        "server",
        "and self.poll(session) is None:",
        ":",
    ),
)
