"""The atlas' pages: a column for each daemon that was judged, and why one was not."""

from __future__ import annotations

from pathlib import Path

import pytest

from caas_trio.conformance.dialects.clauses import OF_DIALECTS
from caas_trio.conformance.dialects.parsing import load
from ci.atlas.daemons import DAEMONS
from ci.atlas.judging import Entry, Finding, page_of
from ci.atlas.page import as_html, as_markdown, explanations

CLAUSES = {clause.id: "passed" for clause in OF_DIALECTS} | {"QUIT-4": "non-strict", "LONG-5": "not judged"}
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
    root = Path(__file__).parents[2]
    assert load(str(root / found.dialect) if "/" in found.dialect else found.dialect).probes
    assert sum(page_of(each.name) == page_of(found.name) for each in DAEMONS) == 1


def test_only_findings_of_known_daemons_are_explained() -> None:
    assert set(explanations()) <= {daemon.name for daemon in DAEMONS}
