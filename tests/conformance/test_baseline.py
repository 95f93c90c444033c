"""Known findings do not fail a run, new ones do, and those that are gone are reported."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from click.testing import CliRunner

from caas_trio.conformance import CASES, Case, Fault, Profile, Report, Result, Verdict
from caas_trio.conformance.baseline import Baseline, BaselineError, text
from caas_trio.conformance.command import main
from caas_trio.conformance.reports import machine
from caas_trio.core.endpoint import Endpoint

from .conftest import StartRight

ENDPOINT = Endpoint.parse("tcp://127.0.0.1:1")
CASE_A, CASE_B, CASE_C = (Case("FRAME-1", name, lambda _: ()) for name in ("a", "b", "c"))
MISSED = Case("FLOW-3", "missed", lambda _: ())


def failed(case: Case, *clauses: str) -> Result:
    return Result(case, Verdict.FAILED, faults=[Fault(clause, "wrong") for clause in clauses])


RESULTS = [
    failed(CASE_A, "FRAME-1", "CLOSE-2"),
    failed(CASE_B, "FRAME-1"),
    Result(CASE_C, Verdict.PASSED),
    Result(MISSED, Verdict.NON_STRICT, faults=[Fault("FLOW-3", "reads on")]),
]
REPORT = Report(ENDPOINT, Profile(), RESULTS)


def baseline(tmp_path: Path, *lines: str) -> Baseline:
    path = tmp_path / "baseline.txt"
    path.write_text("\n".join(lines))
    return Baseline.read(path)


def test_known_new_and_gone_findings_are_reported(tmp_path: Path) -> None:
    known = baseline(
        tmp_path,
        "# known",
        "",
        "FRAME-1.a/whole FRAME-1 # because",
        "FRAME-1.c/whole FRAME-1",
        "FRAME-1.not-run/whole FRAME-1",
    )
    assert list(known.compare(RESULTS, strict=False).lines()) == [
        "known       FRAME-1.a/whole FRAME-1",
        "new         FRAME-1.a/whole CLOSE-2",
        "new         FRAME-1.b/whole FRAME-1",
        "gone        FRAME-1.c/whole FRAME-1",
        "baseline: 1 known, 2 new, 1 gone",
    ]
    assert list(known.compare(RESULTS, strict=True).new)[-1] == ("FLOW-3.missed/whole", "FLOW-3")


def test_a_written_baseline_knows_all_findings(tmp_path: Path) -> None:
    path = tmp_path / "baseline.txt"
    path.write_text(text(REPORT, strict=True))
    compared = Baseline.read(path).compare(RESULTS, strict=True)
    assert (len(compared.known), compared.new, compared.gone) == (4, [], [])
    assert "FLOW-3" not in text(REPORT, strict=False)


def test_a_failed_sanity_case_is_never_known(tmp_path: Path) -> None:
    sane = CASES[0]
    assert sane.sanity
    known = baseline(tmp_path, f"{sane.id} ORDER-1")
    assert known.compare([failed(sane, "ORDER-1")], strict=False).new == [(sane.id, "ORDER-1")]
    assert not known.knows(failed(sane, "ORDER-1"), strict=False)


def test_in_junit_a_known_failure_is_skipped(tmp_path: Path) -> None:
    known = baseline(tmp_path, "FRAME-1.b/whole FRAME-1", "FRAME-1.a/whole FRAME-1")
    root = ET.fromstring(machine.as_junit(REPORT, baseline=known))  # noqa: S314 - our own
    suites = {suite.attrib["name"]: suite.attrib for suite in root}
    assert (suites["FRAME framing"]["failures"], suites["FRAME framing"]["skipped"]) == ("1", "1")
    skipped = root.find(".//testcase[@name='FRAME-1.b/whole']/skipped")
    assert skipped is not None
    assert skipped.attrib["message"] == "known: it is in the baseline"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, " cannot be read: No such file or directory"),
        (b"#" * (1 << 21), " has more than 1048576 bytes"),
        (b"a b\nFRAME-1", ":2: a line is a case and a clause, as in TERM-5.nul/whole TERM-5"),
        (b"a b c", ":1: a line is a case and a clause, as in TERM-5.nul/whole TERM-5"),
        (b"\xff", ":1: a line is a case and a clause, as in TERM-5.nul/whole TERM-5"),
    ],
)
def test_a_file_that_is_not_a_baseline_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "baseline.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BaselineError) as caught:
        Baseline.read(path)
    assert str(caught.value) == f"{path}{message}"


def test_the_command_writes_a_baseline_and_uses_it(right: StartRight, tmp_path: Path) -> None:
    endpoint = str(right(max_line=20_000, oversize="discard"))
    path = tmp_path / "baseline.txt"

    def run(*arguments: str) -> tuple[int, str]:
        words = [endpoint, "--strict", "--only", "FRAME-8", *arguments]
        result = CliRunner().invoke(main, words, catch_exceptions=False)
        return result.exit_code, result.output

    assert run("--write-baseline", str(path))[0] == 1
    assert "FRAME-8.64KiB/whole FRAME-8" in path.read_text()
    status, output = run("--baseline", str(path))
    assert (status, output.splitlines()[-1]) == (0, "baseline: 1 known, 0 new, 0 gone")
    path.write_text("")
    status, output = run("--baseline", str(path))
    assert (status, output.splitlines()[-1]) == (1, "baseline: 0 known, 1 new, 0 gone")
    assert run("--baseline", str(tmp_path / "absent"))[0] == 2
