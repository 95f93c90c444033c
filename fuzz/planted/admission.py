"""Bugs in the admission of connections."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "one connection too many is let in",
        "server",
        "if self.open >= self.limit:\n            return",
        "if self.open > self.limit:\n            return",
    ),
)
