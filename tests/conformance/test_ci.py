"""What CI keeps of the suite: wrong servers for every clause, and a matrix that says what is expected."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from caas_trio.conformance import CASES
from caas_trio.conformance.clauses import CLAUSES, OF_SERVICES, Level
from ci.conformance.expectations import load
from ci.conformance.legs import PEERS
from ci.conformance.rendering import as_html, as_markdown
from ci.conformance.wrong import WRONG

MATRIX = Path(__file__).parents[2] / "docs" / "conformance.md"


def test_there_is_a_wrong_server_for_every_clause_that_can_be_judged() -> None:
    assert {wrong.breaks for wrong in WRONG.values()} == {case.clause for case in CASES}


def test_there_are_three_wrong_servers_for_every_clause_that_must_be_kept() -> None:
    count = Counter(wrong.breaks for wrong in WRONG.values())
    musts = {case.clause for case in CASES if CLAUSES[case.clause].level is Level.MUST}
    assert {clause for clause in musts if count[clause] < 3} == set()


def test_every_peer_is_expected_to_do_something() -> None:
    assert list(load()) == [peer.name for peer in PEERS]


def test_expectations_name_clauses_once_and_give_reasons() -> None:
    for name, expected in load().items():
        named = [*expected.fails, *expected.unsteady, *expected.not_judged]
        assert len(named) == len(set(named)), name
        assert set(named) <= set(CLAUSES), name
        assert all([*expected.fails.values(), *expected.unsteady.values()]), name


def test_the_matrix_in_the_documentation_is_the_one_that_is_enforced() -> None:
    assert MATRIX.read_text(encoding="utf-8") == as_markdown(load(), OF_SERVICES)


def test_the_page_of_the_matrix_has_every_peer_and_every_clause() -> None:
    page = as_html(load(), OF_SERVICES)
    for name, expected in load().items():
        assert f"<th>{name.replace('_', ' ')}</th>" in page
        assert all(clause in page for clause in expected.fails)
    assert all(clause in page for clause in OF_SERVICES)
