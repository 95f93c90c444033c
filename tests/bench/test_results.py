"""Arithmetic on runs: what is compared with what, and which way is better."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from ci.bench.load import BenchError, LoadReport
from ci.bench.results import Mark, Run, Spread, by_round, growth, growth_over, number, ratios, summarize
from ci.bench.works import Measure, Work

WORK = Work("w", "a work", Measure.LINES)


def run(peer: str, number: int, problem: str | None = None, **metrics: float) -> Run:
    return Run("w", peer, number, metrics, problem)


def test_a_spread_is_the_middle_and_the_ends() -> None:
    assert Spread.of([3.0, 1.0, 2.0, 10.0]) == Spread(2.5, 1.0, 10.0)


def test_no_values_have_no_spread() -> None:
    assert Spread.of([]) is None


def test_only_successful_runs_of_that_work_and_peer_count() -> None:
    runs = [
        run("a", 0, throughput=1.0),
        run("a", 1, "failed: 3 reset", throughput=2.0),
        run("a", 2, p99=3.0),
        run("b", 3, throughput=4.0),
        Run("other", "a", 4, {"throughput": 5.0}),
    ]
    assert by_round(runs, "w", "a", "throughput") == {0: 1.0}


@pytest.mark.parametrize(
    ("ours", "theirs", "measure", "expected"),
    [
        pytest.param({0: 10.0, 1: 90.0}, {0: 5.0, 1: 30.0}, Measure.LINES, [2.0, 3.0], id="more is better"),
        pytest.param({0: 10.0}, {0: 5.0}, Measure.QUIET_P99, [0.5], id="less is better"),
        pytest.param({0: 10.0, 2: 7.0}, {1: 5.0, 2: 7.0}, Measure.LINES, [1.0], id="shared rounds only"),
        pytest.param({0: 10.0}, {0: 0.0}, Measure.LINES, [], id="nothing to divide by"),
        pytest.param({}, {0: 1.0}, Measure.LINES, [], id="no round of ours"),
    ],
)
def test_a_ratio_is_taken_within_a_round(
    ours: Mapping[int, float], theirs: Mapping[int, float], measure: Measure, expected: list[float]
) -> None:
    assert ratios(ours, theirs, measure) == expected


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        pytest.param([4.0, 2.0, 1.0], 0.5, id="cheaper all the way"),
        pytest.param([4.0, 1.0, 3.0, 2.0], 3.0, id="measured from the cheapest so far"),
        pytest.param([0.0, 2.0, 3.0], 1.5, id="too small for the clock"),
        pytest.param([2.0], None, id="one size"),
        pytest.param([], None, id="no size"),
    ],
)
def test_growth_is_the_worst_step_up(costs: list[float], expected: float | None) -> None:
    assert growth(costs) == expected


def test_growth_over_a_family_is_that_of_the_medians() -> None:
    small, large = Work("f/1", "", Measure.CPU_PER_LINE), Work("f/2", "", Measure.CPU_PER_LINE)
    costs = {"f/1": [1.0, 2.0, 9.0], "f/2": [3.0, 99.0]}
    runs = [Run(name, "a", i, {"cpu": c}) for name, values in costs.items() for i, c in enumerate(values)]
    assert growth_over(runs, [small, large], "a") == (25.5, 2)


def test_growth_needs_every_size() -> None:
    small, large = Work("f/1", "", Measure.CPU_PER_LINE), Work("f/2", "", Measure.CPU_PER_LINE)
    assert growth_over([Run("f/1", "a", 0, {"cpu": 1.0})], [small, large], "a") == (None, 0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        (0.12345, "0.123"),
        (1.239, "1.24"),
        (45.67, "45.7"),
        (123.6, "124"),
        (1234567.8, "1,234,568"),
    ],
)
def test_a_number_has_three_significant_digits(value: float | None, text: str) -> None:
    assert number(value) == text


REPORT = LoadReport(
    operations=1000,
    lines=2000.0,
    seconds=0.5,
    throughput=4000.0,
    p50_us=10.0,
    p99_us=20.0,
    load_cpu=0.75,
    errors={},
)
MARKS = {"measuring": Mark(cpu=1.0, waited=3.0), "measured": Mark(cpu=1.25, waited=3.125)}


def test_metrics_come_from_the_load_report_and_the_cpu_time() -> None:
    work = Work("w", "", Measure.LINES, line=50)
    assert summarize(work, REPORT, MARKS) == {
        "throughput": 4000.0,
        "megabytes": 0.2,
        "p50": 10.0,
        "p99": 20.0,
        "cpu": 125.0,
        "cpu_byte": 2500.0,
        "load": 0.75,
        "waited": 0.25,
    }


def test_memory_is_what_the_connections_added() -> None:
    work = Work("w", "", Measure.MEMORY, "hold", connections=10)
    nothing = replace(REPORT, lines=0.0, p50_us=None, p99_us=None)
    marks = {"before": Mark(memory=1000), "holding": Mark(memory=21000)}
    assert summarize(work, nothing, marks) == {"memory": 2000.0}


@pytest.mark.parametrize(
    ("work", "report", "user_error"),
    [
        (WORK, replace(REPORT, errors={"reset": 2, "mismatch": 1}), "2 reset, 1 mismatch"),
        (WORK, replace(REPORT, lines=0.0), "nothing was answered"),
        (Work("w", "", Measure.QUIET_P99, "firehose"), replace(REPORT, p99_us=None), "nothing was answered"),
    ],
)
def test_a_run_with_errors_gives_no_metrics(work: Work, report: LoadReport, user_error: str) -> None:
    with pytest.raises(BenchError, match=user_error):
        summarize(work, report, MARKS)
