"""The report as plain text: a line per section, then each failure with what repeats it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from caas_trio.conformance.case import Fault, Result, Verdict
from caas_trio.conformance.clauses import SECTIONS, clauses_of, requirement
from caas_trio.conformance.runner import Report
from caas_trio.core.printable import printable

from .command import again, options


def by_section(report: Report) -> Iterator[tuple[str, list[Result]]]:
    """Yield each section's name and its results, in the order of the specification."""
    order = list(SECTIONS)
    results = sorted(report.results, key=lambda result: order.index(result.case.rule.section))
    for section, group in groupby(results, key=lambda result: result.case.rule.section):
        yield section, list(group)


def counted(results: list[Result]) -> str:
    """Return how many results came to which verdict, as `12 passed, 1 failed`; none is left out silently."""
    counts = {verdict: sum(result.verdict is verdict for result in results) for verdict in Verdict}
    return ", ".join(f"{count} {verdict.value}" for verdict, count in counts.items() if count)


def section_verdict(results: list[Result]) -> Verdict:
    """Return the verdict on a section: the worst of its cases, `not judged` if none of them was."""
    seen = {result.verdict for result in results}
    order = (Verdict.FAILED, Verdict.NON_STRICT, Verdict.PASSED, Verdict.NOT_JUDGED)
    return next(verdict for verdict in order if verdict in seen)


def lines(report: Report, *, verbose: bool = False) -> Iterator[str]:
    """Yield the lines of the report.

    Args:
        report: what came out.
        verbose: whether the cases that were not judged are listed with their reasons.
    """
    for section, results in by_section(report):
        verdict = section_verdict(results).value
        yield f"{section:<6} {SECTIONS[section]:<32} {verdict:<11} {counted(results)}"
    for result in report.results:
        if result.faults:
            yield ""
            yield from _broken(report, result)
    if notes := [f"seen        {result.case.id}: {result.note}" for result in report.results if result.note]:
        yield ""
        yield from notes
    if verbose:
        yield ""
        for result in report.results:
            if result.verdict is Verdict.NOT_JUDGED:
                yield f"not judged  {result.case.id}: {result.reason}"
        for clause in clauses_of(report.profile):
            if clause.unjudged:
                yield f"not judged  {clause.id}: {clause.unjudged}"
    yield ""
    yield summary(report)


def _broken(report: Report, result: Result) -> Iterator[str]:
    yield f"{result.verdict.value.upper()}  {result.case.id}"
    for fault in result.faults:
        yield f"  {fault.clause:<9} {requirement(fault.clause, report.profile.service)}"
        yield f"  seen      {fault.reason}"
        yield from _bytes(fault)
    yield f"  again     {again(report, result)}"
    if result.hint:
        yield f"  hint      {result.hint}"
    if result.case.sanity:
        declared = " ".join(options(report.profile)) or "no option: a client-first server of capitals"
        yield f"  so        nothing else was judged; the server was declared by {declared}"
    if result.beside is not None:
        yield "  so        nothing else was judged from then on; start the server anew before you repeat it"


def _bytes(fault: Fault) -> Iterator[str]:
    if fault.expected is not None:
        yield f"  expected  {fault.expected!r}"
    if fault.received is not None:
        yield f"  received  {fault.received!r}"


def summary(report: Report) -> str:
    """Return the last line: the endpoint, the verdict, the figures."""
    return f"{printable(str(report.endpoint))} {report.words}: {counted(list(report.results))}"
