"""Judges one daemon: what came of it, kept as data that the pages are made of."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import trio

from caas_trio.conformance import Profile, Report, judge
from caas_trio.conformance.case import Result
from caas_trio.conformance.clauses import CLAUSES
from caas_trio.conformance.declaration import SERVICES
from caas_trio.conformance.dialects.parsing import load
from caas_trio.conformance.families import cases_of
from caas_trio.conformance.reports import html
from caas_trio.core.endpoint import Endpoint

from .daemons import DAEMONS
from .daemons.daemon import Daemon
from .running import AbsentError, running, version

#: Seconds of silence after which a reply counts as missing: a busy machine's.
_TIMEOUT_S = 5.0
#: How often a finding is looked at: alone after the first time, on a server that was started anew.
_MAX_PASSES = 3


@dataclass(frozen=True)
class Finding:
    """One clause that a case found broken."""

    case: str
    clause: str
    reason: str
    expected: str
    received: str


@dataclass(frozen=True)
class Entry:
    """The result for one daemon.

    Attributes:
        name: the daemon's.
        version: of its package; empty if it is absent.
        dialect: what it was declared to speak.
        absent: why it was not judged; empty if it was.
        clauses: the verdict on each.
        findings: what is broken.
        seen: observations, such as what ends a line for it.
        seconds: how long that took.
    """

    name: str
    version: str = ""
    dialect: str = ""
    absent: str = ""
    clauses: dict[str, str] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    seen: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def as_data(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        return asdict(self)

    @classmethod
    def of_data(cls, data: dict[str, Any]) -> Entry:
        """Return what `as_data` gave."""
        return cls(**{**data, "findings": [Finding(**each) for each in data["findings"]]})


def page_of(name: str) -> str:
    """Return the file name of a daemon's own page."""
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()) + ".html"


def profile_of(daemon: Daemon) -> Profile:
    """Return what a daemon is declared to be."""
    if daemon.dialect in SERVICES:
        return Profile(service=SERVICES[daemon.dialect])
    return Profile(dialect=load(daemon.dialect))


def judged(name: str, debs: Path, pages: Path, cases: list[str]) -> Entry:
    """Judge the daemon of a name, write its page and return what came of it."""
    daemon = next(daemon for daemon in DAEMONS if daemon.name == name)
    started = time.monotonic()
    try:
        shown = version(daemon, debs)
        report = _run(daemon, debs, cases, daemon.jobs)
        report = confirmed(report, lambda doubtful: _run(daemon, debs, doubtful, 1))
    except AbsentError as error:
        return Entry(daemon.name, dialect=daemon.dialect, absent=str(error))
    (pages / page_of(daemon.name)).write_text(html.as_html(report), encoding="utf-8")
    return _entry(daemon, shown, report, time.monotonic() - started)


def _run(daemon: Daemon, debs: Path, cases: list[str], jobs: int) -> Report:
    """Start a daemon and judge it, by some cases or by all."""
    with running(daemon, debs) as endpoint:
        return trio.run(_report, profile_of(daemon), endpoint, cases, jobs)


async def _report(profile: Profile, endpoint: str, cases: list[str], jobs: int) -> Report:
    chosen = [case for case in cases_of(profile) if not cases or case.id in cases]
    return await judge(Endpoint.parse(endpoint), profile, chosen, timeout_s=_TIMEOUT_S, jobs=jobs)


def confirmed(report: Report, again: Callable[[list[str]], Report]) -> Report:
    """Return a report whose findings came two times: what a busy machine has caused is gone.

    Args:
        report: that of all cases.
        again: judges some cases once more, one at a time.
    """
    results = {result.case.id: result for result in report.results}
    before = dict.fromkeys(results, "")
    for _ in range(1, _MAX_PASSES):
        outcomes = {case: _outcome(result) for case, result in results.items()}
        doubtful = [case for case, outcome in outcomes.items() if outcome != before[case]]
        if not doubtful:
            break
        results |= {
            result.case.id: result for result in again(doubtful).results if result.case.id in doubtful
        }
        before = outcomes
    return replace(report, results=[results[result.case.id] for result in report.results])


def _outcome(result: Result) -> str:
    """Return what was found; empty if nothing was, and nothing that failed stood before it."""
    stands_before = result.reason.endswith(" failed") or result.reason.startswith("the server serves no")
    return ", ".join(sorted(fault.clause for fault in result.faults)) or (
        result.reason if stands_before else ""
    )


def _entry(daemon: Daemon, shown: str, report: Report, seconds: float) -> Entry:
    findings: dict[str, Finding] = {}
    for result in report.results:
        for fault in result.faults:
            received = "" if fault.received is None else repr(fault.received[:120])
            expected = "" if fault.expected is None else repr(fault.expected[:120])
            finding = Finding(result.case.id, fault.clause, fault.reason, expected, received)
            findings.setdefault(fault.clause, finding)
    return Entry(
        name=daemon.name,
        version=shown,
        dialect=daemon.dialect,
        clauses={clause: verdict.value for clause, verdict in report.clauses().items()},
        findings=sorted(findings.values(), key=lambda each: list(CLAUSES).index(each.clause)),
        seen={result.case.id.partition("/")[0]: result.note for result in report.results if result.note},
        seconds=round(seconds, 1),
    )
