"""The report on mutants: what counts as noticed, what is listed, and what a change touches."""

from __future__ import annotations

from pathlib import Path

import pytest

from ci.mutants.__main__ import examine
from ci.mutants.listed import FILE, Key, Listed
from ci.mutants.report import Report
from ci.mutants.results import Change, Mutant, mangled, parse_results
from ci.mutants.touched import changed_lines, patterns_of

RESULTS = """
    caas_trio.core.limits.xǁLimitsǁ__post_init____mutmut_1: survived
    caas_trio.core.framing.x_line_limit__mutmut_2: killed
    caas_trio.core.framing.x_line_limit__mutmut_3: not checked
"""
DIFF = """# caas_trio.core.limits.x_check__mutmut_1: survived
--- src/caas_trio/core/limits.py
+++ src/caas_trio/core/limits.py
@@ -1,3 +1,3 @@
 def check(value: int) -> int:
-    if value < 1:
+    if value <= 1:
         raise ValueError
"""
CHANGE = Change("if value < 1:", "if value <= 1:")
KEY = Key("caas_trio.core.limits.check", CHANGE)
MUTANT = Mutant("caas_trio.core.limits.x_check__mutmut_1", "survived")
SOURCE = """
def one() -> int:
    return 1

class Two:
    x = 2
    async def three(self) -> int:
        return 3
"""


def report_on(status: str, listed: Listed) -> Report:
    return examine([Mutant(MUTANT.name, status)], listed, change_of=lambda _: Change.parse(DIFF), whole=True)


def test_the_results_of_a_run_are_parsed() -> None:
    limits, framing, untried = parse_results(RESULTS)
    assert (limits.module, limits.function) == (
        "caas_trio.core.limits",
        "caas_trio.core.limits.Limits.__post_init__",
    )
    assert (framing.function, framing.status) == ("caas_trio.core.framing.line_limit", "killed")
    assert untried.status == "not checked"


def test_a_change_is_known_by_its_lines_alone() -> None:
    assert Change.parse(DIFF) == Change.parse(DIFF.replace("@@ -1,3 +1,3 @@", "@@ -9,3 +9,3 @@")) == CHANGE


@pytest.mark.parametrize("status", ["killed", "timeout", "segfault"])
def test_a_mutant_that_a_test_notices_is_killed(status: str) -> None:
    report = report_on(status, Listed({}))
    assert report.passed
    assert report.rows()[-1] == ("all", "1", "1", "0", "0", "0")


@pytest.mark.parametrize("status", ["survived", "no tests", "suspicious"])
def test_a_mutant_that_no_test_notices_fails_the_run(status: str) -> None:
    report = report_on(status, Listed({}))
    assert not report.passed
    assert "  - if value < 1:\n  + if value <= 1:\n" in report.text()
    assert "if value &lt;= 1:" in report.page()


def test_a_mutant_that_is_listed_may_live() -> None:
    report = report_on("survived", Listed({KEY: "equal"}))
    assert report.passed
    assert report.rows()[-1] == ("all", "1", "0", "1", "0", "0")


def test_a_list_with_a_mutant_that_is_killed_is_stale() -> None:
    report = report_on("killed", Listed({KEY: "equal"}))
    assert not report.passed
    assert "no such mutant lives: caas_trio.core.limits.check" in report.text()


def test_an_untried_mutant_is_neither_success_nor_failure() -> None:
    assert report_on("not checked", Listed({})).rows()[-1] == ("all", "1", "0", "0", "0", "1")


@pytest.mark.parametrize(
    ("second", "message"), [('why = "b"', "^listed twice: "), ("", "^listed without a reason: ")]
)
def test_the_list_has_each_mutant_once_with_a_reason(tmp_path: Path, second: str, message: str) -> None:
    entry = '[[mutant]]\nfunction = "f"\nremoved = "a"\nadded = "b"\n'
    path = tmp_path / "listed.toml"
    path.write_text(f'{entry}why = "a"\n{entry}{second}\n' if second else entry)
    with pytest.raises(ValueError, match=message):
        Listed.load(path)


def test_the_list_of_the_project_is_well_formed() -> None:
    assert all(key.function.startswith("caas_trio.") for key in Listed.load(FILE).why)


def test_what_a_diff_touches() -> None:
    diff = "+++ b/src/x.py\n@@ -3 +3,2 @@ f\n+++ b/src/y.py\n@@ -8,2 +7,0 @@\n"
    assert changed_lines(diff) == {"src/x.py": {3, 4}, "src/y.py": {7}}


@pytest.mark.parametrize(
    ("line", "patterns"),
    [
        (3, [mangled("m", None, "one")]),
        (6, []),
        (8, [mangled("m", "Two", "three")]),
    ],
)
def test_a_changed_line_is_in_a_function(line: int, patterns: list[str]) -> None:
    assert patterns_of("m", SOURCE, {line}) == patterns
