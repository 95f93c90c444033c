"""Bugs in commands, and in bodies of lines."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "half a command is run",
        "handler",
        "            if line.endswith(LF):\n                self.count",
        "            if line:\n                self.count",
    ),
    Bug(
        "a byte of a command is lost where CR LF ends it no more",
        "handler",
        "return line[: -len(connection.terminator.value)]",
        "return line[:-2]",
    ),
    Bug(
        "more commands that are too long are answered than may be",
        "handler",
        "if self._answers_left is not None:\n                    self._answers_left -= 1",
        "if self._answers_left is not None:\n                    pass",
    ),
    Bug(
        "a body ends at a dot that a line begins with",
        "handler",
        "        if line == end:",
        "        if line.startswith(DOT):",
    ),
    Bug(
        "the rest of a body that is refused is left for commands",
        "handler",
        "            objection = objection or error\n            continue",
        "            raise",
    ),
    Bug(
        "a body may be larger than its limit",
        "handler",
        "    if objection is None and size > limit:",
        "    if objection is None and size > limit + 1:",
    ),
)
