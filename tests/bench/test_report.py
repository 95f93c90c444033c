"""Tables, remarks, pages, JSON and charts from made-up runs."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from ci.bench import report
from ci.bench.peers import C_LOOP, OURS
from ci.bench.results import Run
from ci.bench.works import WORKS

LINE_50 = next(work for work in WORKS if work.name == "line-50")
ABOUT = {"date": "2026-01-02", "rounds": 2, "seconds": 1.0, "machine": {"CPU": "a <CPU>", "Node": "absent"}}
RUNS = [
    Run("line-50", OURS, 0, {"throughput": 60_000.0, "p50": 80.0, "p99": 90.5, "cpu": 6.5, "waited": 0.01}),
    Run("line-50", C_LOOP, 0, {"throughput": 120_000.0, "p50": 50.0, "p99": 60.0, "cpu": 5.0, "waited": 0.2}),
    Run("line-50", OURS, 1, {"throughput": 90_000.0, "p50": 70.0, "p99": 80.5, "cpu": 6.0, "waited": 0.01}),
    Run("line-50", C_LOOP, 1, {"throughput": 100_000.0, "p50": 50.0, "p99": 60.0, "cpu": 5.0, "waited": 0.0}),
    Run("line-50", "Node", 0, problem="absent: node: No such file or directory"),
    Run("line-50", "Node", 1, problem="absent: node: No such file or directory"),
    Run("line-50", "gevent", 0, problem="failed: 2 reset"),
]


def test_a_table_ranks_the_peers_and_shows_our_ratios() -> None:
    table = report.table_of(RUNS, LINE_50)
    head = ("peer", "lines/s", "min .. max", "p50 µs", "p99 µs", "CPU µs/line", f"{OURS} is")
    assert table.head == head
    assert table.rows == [
        (C_LOOP, "110,000", "100,000 .. 120,000", "50.0", "60.0", "5.00", "0.70"),
        (OURS, "75,000", "60,000 .. 90,000", "75.0", "85.5", "6.25", "1.00"),
    ]


def test_remarks_name_each_problem_once() -> None:
    assert report.remarks(RUNS) == [
        "Node is absent: node: No such file or directory",
        "gevent, line-50: failed: 2 reset",
        "disturbed: in 1 of 4 runs another process had their core for more than 5% of the time, at worst 20%",
    ]


def test_quiet_runs_need_no_remark() -> None:
    assert report.remarks(RUNS[:1]) == []


def test_only_targets_of_the_works_done_are_shown() -> None:
    rows = report.targets_table(RUNS).rows
    assert {row[0] for row in rows} == {"line-50"}
    assert ("line-50", OURS, f"at least 0.85 of {C_LOOP}", "0.700", "2", "not reached") in rows


def test_growth_is_shown_for_the_families_it_is_asked_of() -> None:
    costs = {"connections/10": 2.0, "connections/100": 1.0, "connections/1000": 1.2, "connections/5000": 1.25}
    runs = [Run(name, C_LOOP, 0, {"cpu": cost}) for name, cost in costs.items()]
    assert report.growth_table(runs, "connections").rows == [(C_LOOP, "1.25")]
    assert report.growth_table(RUNS, "line-50").rows == []


def test_every_run_is_in_the_json() -> None:
    written = json.loads(report.as_json(RUNS, ABOUT))
    assert len(written.pop("runs")) == len(RUNS)
    assert written == ABOUT


def test_a_page_keeps_what_earlier_runs_wrote(tmp_path: Path) -> None:
    report.save(tmp_path, RUNS, ABOUT)
    report.save(tmp_path, [Run("idle", OURS, 0, {"memory": 1900.0})], ABOUT | {"date": "2026-02-03"})
    text = (tmp_path / "results.md").read_text()
    assert f"| line-50 | {OURS} | at least 0.85 of {C_LOOP} | 0.700 | 2 | not reached |" in text
    assert "![line-50](line-50.svg)\n\n### line-50: " in text
    assert f"| {C_LOOP} | 110,000 | 100,000 .. 120,000 |" in text
    assert "absent: node" in text
    assert "Node absent" not in text
    assert "| idle | caas_trio | at most 2048 | 1,900 | 1 | reached |" in text
    assert text.index("<sub>2026-01-02, 2 x 1 s.") < text.index("![idle]") < text.index("<sub>2026-02-03")


def test_a_page_forgets_what_is_measured_again(tmp_path: Path) -> None:
    report.save(tmp_path, RUNS, ABOUT)
    report.save(tmp_path, RUNS[:1], ABOUT | {"date": "2026-02-03"})
    text = (tmp_path / "results.md").read_text()
    assert "2026-01-02" not in text
    assert C_LOOP not in text.partition("![line-50]")[2]
    assert f"| line-50 | {OURS} | at least 0.85 of {C_LOOP} |  | 0 | not measured |" in text
    report.save(tmp_path, [], ABOUT)
    assert (tmp_path / "results.md").read_text() == text


@pytest.mark.parametrize("name", dict.fromkeys(work.family for work in WORKS))
def test_a_chart_has_a_bar_per_peer_and_is_valid_xml(tmp_path: Path, name: str) -> None:
    works = [work for work in WORKS if work.family == name]
    runs = [
        Run(work.name, peer, 0, {work.measure.metric: 7.0}) for work in works for peer in (OURS, "<other>")
    ]
    report.save(tmp_path, runs, ABOUT)
    chart = ET.fromstring((tmp_path / f"{name}.svg").read_text())  # noqa: S314 - we wrote it
    bars = chart.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "peer"] * len(works)
