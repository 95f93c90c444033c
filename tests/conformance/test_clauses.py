"""The clauses, the specification and the cases agree."""

from __future__ import annotations

import re
from pathlib import Path

from caas_trio.conformance import CASES, Service
from caas_trio.conformance.clauses import CLAUSES, IN_OTHER_WORDS, SECTIONS, Level, requirement

SPECIFICATION = Path(__file__).parents[2] / "docs" / "specification.md"


def written() -> dict[str, str]:
    """Return what the specification has under each clause's heading."""
    text = SPECIFICATION.read_text(encoding="utf-8")
    pieces = re.split(r"^### (\S+)$", text, flags=re.MULTILINE)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


def test_the_specification_has_every_clause_and_no_other() -> None:
    assert list(written()) == list(CLAUSES)


def test_the_specification_says_what_the_suite_says() -> None:
    for clause, text in written().items():
        assert CLAUSES[clause].text == text.strip().partition("\n")[0]
        assert re.search(r"^- Why: .+", text, re.MULTILINE), clause
        assert re.search(r"^- Source: .+", text, re.MULTILINE), clause
        assert ("- Not judged: " + CLAUSES[clause].unjudged in text) == bool(CLAUSES[clause].unjudged), clause


def test_the_specification_says_what_other_services_have_to_do() -> None:
    text = SPECIFICATION.read_text(encoding="utf-8")
    for service, words in IN_OTHER_WORDS.items():
        for clause, requirement_of_it in words.items():
            assert f"| {clause} | `{service.value}` | {requirement_of_it} |" in text
            assert requirement(clause, service) == requirement_of_it
    assert requirement("SERVE-1", Service.UPPER) == CLAUSES["SERVE-1"].text
    assert requirement("FRAME-1", Service.ECHO) == CLAUSES["FRAME-1"].text


def test_every_clause_is_judged_by_a_case_or_says_why_not() -> None:
    judged = {case.clause for case in CASES}
    for clause in CLAUSES.values():
        assert (clause.id in judged) != bool(clause.unjudged), clause.id


def test_the_text_of_a_clause_has_its_level() -> None:
    for clause in CLAUSES.values():
        assert clause.level.value in clause.text
        assert (Level.SHOULD.value in clause.text) == (clause.level is Level.SHOULD)


def test_every_section_has_a_heading() -> None:
    assert list(dict.fromkeys(clause.section for clause in CLAUSES.values())) == list(SECTIONS)
    text = SPECIFICATION.read_text(encoding="utf-8")
    for section, title in SECTIONS.items():
        assert f"\n## {section}: {title}\n" in text
