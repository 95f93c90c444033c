"""The atlas' pages: a column for each daemon that was judged, and why one was not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caas_trio.conformance import Profile, Report, Result
from caas_trio.conformance import clauses as known
from caas_trio.conformance.case import Fault
from caas_trio.conformance.dialects.clauses import OF_DIALECTS
from caas_trio.conformance.families import CASES
from caas_trio.core.endpoint import Endpoint
from ci.atlas.__main__ import changes
from ci.atlas.daemons import DAEMONS
from ci.atlas.judging import Entry, Finding, confirmed, page_of, profile_of
from ci.atlas.page import as_html, as_markdown, explanations

CLAUSES = {clause.id: "passed" for clause in OF_DIALECTS} | {"QUIT-4": "non-strict", "LONG-5": "not judged"}
ONE, TWO = CASES[0].id, CASES[1].id
ENTRIES = [
    Entry(
        name="Redis",
        version="7",
        dialect="redis",
        clauses=CLAUSES,
        findings=[Finding("QUIT-4.much-behind/whole", "QUIT-4", "it was reset", "", "b'+OK'")],
        seen={
            "TERM-2.bare-lf": "a bare LF ends a line",
            "HALF-3.tail": "input that ends without a terminator x",
        },
    ),
    Entry(name="gone", dialect="smtp", absent="it does not listen"),
]


def test_the_page_has_verdicts_ends_and_findings() -> None:
    page = as_markdown(ENTRIES, "2026-11-29")
    assert "| [QUIT-4](specification.md#quit-4) | (✗) |\n" in page
    assert "LONG-5" not in page
    assert "| Redis | ends a line | · | · | · | x |\n" in page
    assert "Seen: it was reset. Received: `` b'+OK' ``.\n" in page
    assert "Again: `nox -s atlas -- 'Redis' --case QUIT-4.much-behind/whole`.\n" in page
    assert "## gone\n\nNot judged: it does not listen.\n" in page


def test_a_cell_links_to_the_bytes_sent_and_received() -> None:
    page = as_html(ENTRIES, "2026-11-29")
    assert '<a href="redis.html#QUIT-4.much-behind/whole">(✗)</a>' in page
    assert '<a href="redis.html#REPLY">✓</a>' in page


def test_the_stored_findings_of_a_daemon_can_be_read_back() -> None:
    assert [Entry.of_data(entry.as_data()) for entry in ENTRIES] == ENTRIES


@pytest.mark.parametrize("daemon", DAEMONS, ids=lambda daemon: daemon.name)
def test_each_daemon_has_a_dialect_and_a_page_of_its_own(daemon: object) -> None:
    [found] = [each for each in DAEMONS if each is daemon]
    dialect = profile_of(found).dialect
    assert dialect is None or dialect.probes
    assert sum(page_of(each.name) == page_of(found.name) for each in DAEMONS) == 1


def test_only_findings_of_known_daemons_are_explained() -> None:
    said = explanations()
    assert set(said) <= {daemon.name for daemon in DAEMONS}
    assert {clause for each in said.values() for clause in (*each.steady, *each.unsteady)} <= set(
        known.CLAUSES
    )


def test_a_clause_known_to_be_unsteady_shows_as_such_whatever_came() -> None:
    entry = replace(ENTRIES[0], name="efingerd", clauses=CLAUSES | {"QUIT-4": "passed"}, findings=[])
    page = as_markdown([entry], "2026-11-29")
    assert "| [QUIT-4](specification.md#quit-4) | ± |\n" in page
    assert "- **QUIT-4** (sometimes) " in page
    assert "  Not seen this time.\n" in page
    assert ">±</a>" in as_html([entry], "2026-11-29")
    assert list(changes({"efingerd": replace(entry, clauses=CLAUSES)}, [entry])) == []


def test_a_verdict_that_changes_is_reported() -> None:
    redis, gone = ENTRIES
    now = replace(redis, clauses=CLAUSES | {"QUIT-4": "passed"})
    assert list(changes({"Redis": redis, "gone": gone}, [now, replace(gone, absent="")])) == [
        "Redis: QUIT-4 (✗) -> ✓",
        "gone: it does not listen -> judged",
    ]
    assert list(changes({}, ENTRIES)) == []


def test_a_server_that_is_judged_by_its_bytes_has_no_column() -> None:
    verdicts = {"FRAME-1": "passed", "FRAME-2": "failed", "FRAME-3": "not judged"}
    entry = Entry(name="inetd", version="2", dialect="echo-bytes", clauses=verdicts)
    page = as_markdown([ENTRIES[0], entry], "2026-11-29")
    assert "| | Redis |\n" in page
    assert "Version 2, judged as `echo-bytes`, by clauses that are not above: 1 of 2 kept.\n" in page
    assert "inetd" not in as_html([ENTRIES[0], entry], "2026-11-29")


def reported(*faulty: str, blocked: tuple[str, ...] = ()) -> Report:
    """Return a report of three cases, some of which have failed or stood behind one that had."""
    results = []
    for case in CASES[:3]:
        faults = [Fault(case.clause, "it is wrong")] if case.id in faulty else []
        reason = "another failed" if case.id in blocked else ""
        results.append(Result(case, faults=faults, reason=reason))
    return Report(Endpoint.parse("tcp://127.0.0.1:1"), Profile(), results)


@pytest.mark.parametrize(
    ("passes", "stands"),
    [
        ([reported()], []),
        ([reported(ONE), reported(ONE)], [ONE]),
        ([reported(ONE), reported(), reported()], []),
        ([reported(ONE), reported(), reported(ONE)], [ONE]),
        ([reported(ONE, blocked=(TWO,)), reported(TWO), reported(TWO)], [TWO]),
    ],
)
def test_a_finding_stands_if_it_came_two_times_of_three(passes: list[Report], stands: list[str]) -> None:
    first, *later = passes
    left = iter(later)
    report = confirmed(first, lambda _: next(left))
    assert [result.case.id for result in report.results if result.faults] == stands
    assert [result.case.id for result in report.results] == [case.id for case in CASES[:3]]
    assert next(left, None) is None
