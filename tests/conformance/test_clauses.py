"""The clauses, the specification and the cases agree."""

from __future__ import annotations

import re

from caas_trio.conformance import CASES, Service
from caas_trio.conformance.clauses import CLAUSES, IN_OTHER_WORDS, SECTIONS, Level, requirement
from caas_trio.conformance.dialects import families
from ci.conformance.specification import PAGE, renewed


def test_the_specification_has_the_clauses_of_the_suite() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == renewed(page), "run `python -m ci.conformance.specification`"


def test_the_specification_gives_each_clause_a_reason_and_a_source() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for line in ("Why", "Source"):
        assert len(re.findall(rf"^- {line}: .+", text, re.MULTILINE)) == len(CLAUSES)


def test_the_page_has_the_suites_text_of_a_clause_and_keeps_the_reasons() -> None:
    page = PAGE.read_text(encoding="utf-8")
    other = page.replace("An empty line is a line and MUST be answered.", "An empty line is no line.")
    other = other.replace("## FRAME: framing\n", "## FRAME: lines\n").replace("| SERVE-1 | `echo` |", "| X |")
    assert other != page
    assert renewed(other) == page
    new = re.sub(r"\n### DGRAM-3\n[^#]+", "", page)
    entry = "### DGRAM-3\n\nA reply MUST NOT be longer than its request.\n\n- Why:\n- Source:\n\n#"
    assert entry in renewed(new)


def test_other_services_have_requirements_of_their_own() -> None:
    for service, texts in IN_OTHER_WORDS.items():
        for clause, text in texts.items():
            assert requirement(clause, service) == text != CLAUSES[clause].text
    assert requirement("SERVE-1", Service.UPPER) == CLAUSES["SERVE-1"].text
    assert requirement("FRAME-1", Service.ECHO) == CLAUSES["FRAME-1"].text


def test_every_clause_is_judged_by_a_case_or_says_why_not() -> None:
    judged = {case.clause for case in (*CASES, *families.CASES)}
    for clause in CLAUSES.values():
        assert (clause.id in judged) != bool(clause.unjudged), clause.id


def test_the_text_of_a_clause_has_its_level() -> None:
    for clause in CLAUSES.values():
        assert clause.level.value in clause.text
        assert (Level.SHOULD.value in clause.text) == (clause.level is Level.SHOULD)


def test_every_clause_belongs_to_a_section_in_order() -> None:
    assert list(dict.fromkeys(clause.section for clause in CLAUSES.values())) == list(SECTIONS)
