"""A baseline: findings that are known, and do not fail a run. A new one does; one that is gone is reported.

    # known findings of caas-conformance
    TERM-2.bare-lf/whole TERM-2
    HALF-1.three/whole HALF-1

A line is a case and a clause that it found broken. Text behind a `#` is a comment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

from caas_trio.core.printable import printable

from .case import Result, Verdict
from .runner import Report

#: A case's id, and the clause that it found broken.
Finding: TypeAlias = tuple[str, str]

_MAX_FILE: Final = 1 << 20
_HEAD: Final = "# known findings of caas-conformance: the case, and the clause that it found broken"


class BaselineError(Exception):
    """The file cannot be read or written, or is not a baseline; the message says why in one line."""


def is_bad(verdict: Verdict, *, strict: bool) -> bool:
    """Return whether a verdict fails a run."""
    return verdict is Verdict.FAILED or (strict and verdict is Verdict.NON_STRICT)


def findings(results: Iterable[Result], *, strict: bool) -> list[Finding]:
    """Return the findings of a run, in the order of its results; with `strict`, missed SHOULDs as well."""
    return [
        (result.case.id, fault.clause)
        for result in results
        for fault in result.faults
        if is_bad(fault.verdict, strict=strict)
    ]


@dataclass(frozen=True, slots=True)
class Comparison:
    """The findings of a run, compared with the known ones.

    Attributes:
        known: what was found and is known.
        new: what was found and is not known.
        gone: what is known and was not found, though its case was judged.
    """

    known: Sequence[Finding]
    new: Sequence[Finding]
    gone: Sequence[Finding]

    def lines(self) -> Iterator[str]:
        """Yield a line of the report for each finding."""
        for word, found in (("known", self.known), ("new", self.new), ("gone", self.gone)):
            for case_id, clause in found:
                yield f"{word:<11} {case_id} {clause}"
        yield f"baseline: {len(self.known)} known, {len(self.new)} new, {len(self.gone)} gone"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The known findings; none is of a sanity case, since nothing else is judged where one fails."""

    known: frozenset[Finding] = frozenset()

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Return the baseline in a file.

        Raises:
            BaselineError: it cannot be read, or a line of it is not a case and a clause.
        """
        try:
            with path.open("rb") as file:
                content = file.read(_MAX_FILE + 1)
        except OSError as error:
            raise BaselineError(f"{printable(str(path))} cannot be read: {error.strerror}") from None
        if len(content) > _MAX_FILE:
            raise BaselineError(f"{printable(str(path))} has more than {_MAX_FILE} bytes")
        known = set()
        for number, line in enumerate(content.decode(errors="backslashreplace").split("\n"), 1):
            words = line.partition("#")[0].split()
            if len(words) not in (0, 2):
                what = "a line is a case and a clause, as in TERM-5.nul/whole TERM-5"
                raise BaselineError(f"{printable(str(path))}:{number}: {what}")
            if words:
                known.add((words[0], words[1]))
        return cls(frozenset(known))

    def knows(self, result: Result, *, strict: bool) -> bool:
        """Return whether all findings of a case are known."""
        found = findings([result], strict=strict)
        return bool(found) and not result.case.sanity and self.known.issuperset(found)

    def compare(self, results: Sequence[Result], *, strict: bool) -> Comparison:
        """Compare results with the known findings; a case that was not judged is neither found nor gone."""
        found = findings(results, strict=strict)
        sane = set(findings([result for result in results if not result.case.sanity], strict=strict))
        known = self.known & sane
        judged = {result.case.id for result in results if result.verdict is not Verdict.NOT_JUDGED}
        return Comparison(
            known=[each for each in found if each in known],
            new=[each for each in found if each not in known],
            gone=sorted(each for each in self.known if each not in found and each[0] in judged),
        )


def text(report: Report, *, strict: bool) -> str:
    """Return the text of a file in which all findings of a report are known."""
    lines = (f"{case_id} {clause}" for case_id, clause in findings(report.results, strict=strict))
    return "\n".join([_HEAD, *lines]) + "\n"
