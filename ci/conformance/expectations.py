"""The expectations for each peer, from `expected.toml`."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from caas_trio.conformance import Verdict
from caas_trio.conformance.clauses import CLAUSES, Level

_FILE = Path(__file__).with_name("expected.toml")


@dataclass(frozen=True)
class Expected:
    """The expectations for one peer.

    Attributes:
        title: what it is.
        declared: what it was declared to be, in words.
        fails: the clauses it breaks, each with the reason.
        unsteady: the clauses it sometimes breaks, each with the reason.
        not_judged: the clauses that no case came to judge, as they do not apply or another one stands before;
            those that no case can judge are left out.
    """

    title: str
    declared: str
    not_judged: list[str]
    fails: dict[str, str] = field(default_factory=dict)
    unsteady: dict[str, str] = field(default_factory=dict)

    def verdict(self, clause: str) -> Verdict:
        """Return the verdict that is expected on a clause that is not unsteady."""
        if clause in self.fails:
            return Verdict.FAILED if CLAUSES[clause].level is Level.MUST else Verdict.NON_STRICT
        unjudged = clause in self.not_judged or CLAUSES[clause].unjudged
        return Verdict.NOT_JUDGED if unjudged else Verdict.PASSED


def load() -> dict[str, Expected]:
    """Return what is expected, by the peers' names, in the order of the file."""
    return {
        name: Expected(**entry) for name, entry in tomllib.loads(_FILE.read_text(encoding="utf-8")).items()
    }
