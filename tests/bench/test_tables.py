"""The tables of works, peers and targets fit together, and verdicts follow from runs."""

import tomllib
from pathlib import Path

import pytest

from ci.bench import machine
from ci.bench.buffers import BUFFER, SUBJECTS, chunks_of, rate
from ci.bench.peers import C_LOOP, C_TLS_LOOP, HANDLER, METERED, OURS, PEERS, REDIS_PEERS, Peer
from ci.bench.plan import Job
from ci.bench.report import remarks
from ci.bench.results import Run
from ci.bench.run import COMMANDS_PER_SECOND, Runner, Settings
from ci.bench.targets import TARGETS, Target, judge
from ci.bench.works import WORKS, Work

NAMES = {peer.name: peer for peer in PEERS}
WORK_NAMES = {work.name: work for work in WORKS}
BUFFERS = [work for work in WORKS if work.mode == "buffer"]


@pytest.mark.parametrize("work", WORKS, ids=lambda work: work.name)
def test_every_work_has_a_peer(work: Work) -> None:
    if work.mode == "buffer":
        assert chunks_of(work)
        return
    assert set(work.peers or ()) <= set(NAMES)
    if work.command:
        assert {peer.name for peer in PEERS if work.takes(peer)} == set(REDIS_PEERS)
        assert work.depth in COMMANDS_PER_SECOND
        return
    assert work.takes(NAMES[OURS])
    c_loop = C_TLS_LOOP if work.tls else C_LOOP
    assert work.takes(NAMES[METERED if work.family == "metrics" else c_loop])


def test_an_invited_peer_runs_only_where_it_is_named() -> None:
    assert {work.family for work in WORKS if work.takes(NAMES[METERED])} == {"metrics"}


@pytest.mark.parametrize(
    "target", TARGETS, ids=lambda target: f"{target.work}-{target.subject}-{target.wanted}"
)
def test_every_target_is_about_a_work_both_sides_do(target: Target) -> None:
    works = [work for work in WORKS if target.work in {work.name, work.family}]
    assert works
    assert sum(bound is not None for bound in (target.ratio, target.bound, target.growth)) == 1
    assert (target.against is None) == (target.ratio is None)
    for work in works:
        for name in filter(None, (target.subject, target.against)):
            assert name in SUBJECTS if work.mode == "buffer" else work.takes(NAMES[name])


def test_a_peer_is_spared_the_works_it_cannot_do() -> None:
    plain = Peer("plain", (), cannot=("unix-50",))
    assert WORK_NAMES["line-50"].takes(plain)
    assert not WORK_NAMES["unix-50"].takes(plain)
    for peer in PEERS:
        assert set(peer.cannot) <= set(WORK_NAMES)


def test_the_group_of_the_benchmark_has_every_package_of_a_peer() -> None:
    with (Path(__file__).parents[2] / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["bench"]]
    named = {requirement.partition(">=")[0] for requirement in wanted} | {"caas-trio"}
    assert {peer.package for peer in PEERS if peer.package is not None} <= named


def test_a_peer_without_its_package_is_named(tmp_path: Path) -> None:
    peer = Peer("loopless", ("{python}", "-m", "ci.bench.peers.asyncio_protocol", "{endpoint}", "no_loop"))
    runner = Runner(Settings(0.1, 0.1, tmp_path, server_core=machine.cores()[0]))
    run = runner.run(Job(WORK_NAMES["line-1"], peer.name, 0, peer))
    assert remarks([run]) == ["loopless is absent: ModuleNotFoundError: No module named 'no_loop'"]


def test_no_target_is_set_twice() -> None:
    kinds = [(target.work, target.subject, target.against) for target in TARGETS]
    assert len(set(kinds)) == len(kinds)


def test_a_peer_of_one_client_gets_only_works_of_one_client() -> None:
    one = Peer("one", (), clients=1)
    assert WORK_NAMES["line-1"].takes(one)
    assert WORK_NAMES["connect"].takes(one)
    assert not WORK_NAMES["line-50"].takes(one)


def test_lines_too_long_for_a_peer_are_not_sent_to_it() -> None:
    assert not WORK_NAMES["long-line"].takes(NAMES[HANDLER])


def runs(work: str, peer: str, figure: str, *values: float) -> list[Run]:
    return [Run(work, peer, number, {figure: value}) for number, value in enumerate(values)]


def test_a_ratio_target_is_judged_by_the_median_of_the_ratios() -> None:
    target = Target("line-50", OURS, C_LOOP, ratio=0.75)
    ours = runs("line-50", OURS, "throughput", 80.0, 10.0, 74.0)
    theirs = runs("line-50", C_LOOP, "throughput", 100.0, 100.0, 100.0)
    verdict = judge(target, [*ours, *theirs])
    assert (verdict.measured, verdict.rounds, verdict.reached) == (0.74, 3, False)


@pytest.mark.parametrize(("bytes_each", "reached"), [(2048.0, True), (2049.0, False)])
def test_a_bound_is_judged_by_the_median(bytes_each: float, *, reached: bool) -> None:
    verdict = judge(Target("idle", OURS, bound=2048), runs("idle", OURS, "memory", bytes_each))
    assert verdict.reached is reached


@pytest.mark.parametrize(("last", "reached"), [(3.0, True), (3.1, False)])
def test_growth_is_judged_over_the_family(last: float, *, reached: bool) -> None:
    costs = {"connections/10": 2.0, "connections/100": 2.5, "connections/1000": 2.0, "connections/5000": last}
    measured = [run for name, cost in costs.items() for run in runs(name, OURS, "cpu", cost)]
    assert judge(Target("connections", OURS, growth=1.5), measured).reached is reached


def test_works_without_results_are_not_judged() -> None:
    assert [judge(target, []).reached for target in TARGETS] == [None] * len(TARGETS)


@pytest.mark.parametrize("subject", SUBJECTS)
@pytest.mark.parametrize("work", BUFFERS, ids=lambda work: work.name)
@pytest.mark.slow
def test_no_buffer_loses_bytes(work: Work, subject: str) -> None:
    """Slow: buffers that are slow are filled, too."""
    assert rate(subject, work, seconds=0) > 0


def test_a_buffer_that_loses_bytes_is_noticed() -> None:
    with pytest.raises(RuntimeError, match="lost bytes"):
        rate(BUFFER, WORK_NAMES["linebuffer/blocks"], seconds=0, take=lambda *_: 0)
