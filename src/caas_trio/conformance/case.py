"""A case and its result: `Case`, `Result`."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from .clauses import CLAUSES, Clause, Level
from .profile import Need, Profile, unmet
from .script import Step
from .wirelog import WireLog

Script: TypeAlias = Callable[[Profile], Iterable[Step]]


@dataclass(frozen=True, slots=True)
class Case:
    """One thing to try on a server.

    Attributes:
        clause: the id of the clause it judges.
        name: what it tries, in a word or two.
        script: returns its steps for a server of some profile.
        cut: the name of the cut, the last part of the id.
        needs: what it needs of the server; `not judged` without.
        length: the longest line that the server has to take for it.
        after: the ids of cases whose failure would make this one fail for the same reason; it waits for
            them, and is not judged if one fails.
        sanity: whether nothing else counts unless it passes.
        alone: whether no other case may run beside it.
        effort: how many times the usual timeout it takes; those above 1 keep a server busy, and run when
            the others are done, so that none of those is late on their account.
        idle: whether it waits most of the time; it takes no place from the others then.
        punctual: whether it proves nothing unless the client speaks at once.
    """

    clause: str
    name: str
    script: Script
    cut: str = "whole"
    needs: tuple[Need, ...] = (Need.STREAM,)
    length: int = 0
    after: tuple[str, ...] = ()
    sanity: bool = False
    alone: bool = False
    effort: float = 1.0
    idle: bool = False
    punctual: bool = False

    @property
    def id(self) -> str:
        """The permanent name: clause, name and cut, as `FRAME-2.crlf/byte`."""
        return f"{self.clause}.{self.name}/{self.cut}"

    @property
    def rule(self) -> Clause:
        """The clause it judges."""
        return CLAUSES[self.clause]

    def unfit(self, profile: Profile) -> str | None:
        """Return why it cannot judge a server of this profile; None if it can."""
        need = unmet(profile, self.needs)
        if need is not None:
            return need.value
        if not profile.takes(self.length):
            return f"lines of {self.length} bytes are beyond what the server declares to take"
        return None


class Verdict(enum.Enum):
    """The verdict of a case, or of one aspect of it."""

    PASSED = "passed"
    FAILED = "failed"
    NON_STRICT = "non-strict"
    """A SHOULD was missed."""
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Fault:
    """One clause that a case saw broken.

    Attributes:
        clause: the clause's id; a case about an answer may see the close or the timing go wrong.
        reason: what is wrong, in one line.
        expected: the bytes that were due; None where bytes are not the point.
        received: the bytes that came instead.
    """

    clause: str
    reason: str
    expected: bytes | None = None
    received: bytes | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict that it means: failed, or warned for a SHOULD."""
        must = CLAUSES[self.clause].level is Level.MUST
        return Verdict.FAILED if must else Verdict.NON_STRICT


@dataclass(slots=True)
class Result:
    """The result of a case. It begins as failed and has to earn anything better.

    Attributes:
        case: the case.
        answer: whether what the server said is right.
        close: whether the conversation ended rightly; `not judged` where the case does not look.
        faults: what went wrong.
        reason: why it is not judged.
        note: an observation worth reporting, whatever the verdict; empty for none.
        hint: what the server seems to be instead, where a sanity case fails; empty if nothing is known.
        beside: if the server serves no client since this case: the ids of those that ran at the same time.
        seconds: how long it took.
        log: what passed over the wire.
    """

    case: Case
    answer: Verdict = Verdict.FAILED
    close: Verdict = Verdict.NOT_JUDGED
    faults: list[Fault] = field(default_factory=list)
    reason: str = ""
    note: str = ""
    hint: str = ""
    beside: tuple[str, ...] | None = None
    seconds: float = 0.0
    log: WireLog = field(default_factory=WireLog)

    @property
    def verdict(self) -> Verdict:
        """The worst of its faults, else the answer's."""
        grades = {fault.verdict for fault in self.faults}
        return next((v for v in (Verdict.FAILED, Verdict.NON_STRICT) if v in grades), self.answer)

    @property
    def why(self) -> str:
        """What is wrong in one line, or why it is not judged; empty if it passed."""
        return self.faults[0].reason if self.faults else self.reason
