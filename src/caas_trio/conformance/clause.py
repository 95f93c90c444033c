"""A requirement: `Clause`, and its `Level`."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Level(enum.Enum):
    """How binding a clause is, in the sense of RFC 2119."""

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Clause:
    """One requirement.

    Attributes:
        id: its permanent name, as `FRAME-3`.
        level: how binding it is.
        text: what it requires.
        unjudged: why no case can judge it from outside; empty if cases do.
    """

    id: str
    level: Level
    text: str
    unjudged: str = ""

    @property
    def section(self) -> str:
        """The section that the clause belongs to: its id up to the hyphen."""
        return self.id.partition("-")[0]
