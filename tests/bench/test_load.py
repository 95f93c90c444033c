"""The load generator from Python's side: its arguments, and how its report is read."""

import json

import pytest

from ci.bench.load import BenchError, LoadReport, arguments
from ci.bench.works import Measure, Work

REPORT = {
    "work": "lines",
    "operations": 7331,
    "lines": 7331.5,
    "seconds": 0.5,
    "throughput": 14663.0,
    "p50_us": 64.0,
    "p99_us": None,
    "load_cpu": 0.39,
    "errors": {"refused": 0, "reset": 2},
}


def test_a_report_is_read_and_errors_that_did_not_occur_are_left_out() -> None:
    assert LoadReport.parse(json.dumps(REPORT)) == LoadReport(
        operations=7331,
        lines=7331.5,
        seconds=0.5,
        throughput=14663.0,
        p50_us=64.0,
        p99_us=None,
        load_cpu=0.39,
        errors={"reset": 2},
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "measured",
        "[1]",
        "{}",
        json.dumps(REPORT | {"lines": None}),
        json.dumps(REPORT | {"p50_us": "fast"}),
        json.dumps(REPORT | {"errors": 3}),
    ],
)
def test_an_invalid_report_is_an_error(text: str) -> None:
    with pytest.raises(BenchError, match="gave no report"):
        LoadReport.parse(text)


def test_the_load_gets_the_work_as_arguments() -> None:
    work = Work("w", "", Measure.LINES, connections=20, depth=100, line=64)
    told = " ".join(arguments(work, "tcp://127.0.0.1:7", warmup=0.1, seconds=2))
    expected = "tcp://127.0.0.1:7 lines --connections 20 --depth 100 --line 64 --warmup 0.1 --seconds 2"
    assert told == expected
