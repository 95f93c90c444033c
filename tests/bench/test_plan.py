"""Which peer does which work, and in which order."""

from ci.bench.buffers import SUBJECTS
from ci.bench.peers import PEERS
from ci.bench.plan import Job, plan
from ci.bench.works import WORKS

WORK = next(work for work in WORKS if work.name == "line-1")
BUFFER = next(work for work in WORKS if work.mode == "buffer")


def names(jobs: list[Job], number: int) -> list[str]:
    return [job.name for job in jobs if job.round == number]


def test_each_round_runs_every_peer_once_and_each_in_its_own_order() -> None:
    jobs = list(plan([WORK], PEERS, 3, 1))
    rounds = [names(jobs, number) for number in range(3)]
    assert [sorted(order) for order in rounds] == [
        sorted(peer.name for peer in PEERS if WORK.takes(peer))
    ] * 3
    assert len({tuple(order) for order in rounds}) == 3


def test_a_seed_repeats_the_order() -> None:
    assert list(plan(WORKS, PEERS, 2, 7)) == list(plan(WORKS, PEERS, 2, 7))


def test_a_round_is_over_before_the_next_begins() -> None:
    jobs = list(plan(WORKS, PEERS, 2, 1))
    assert [job.round for job in jobs] == sorted(job.round for job in jobs)


def test_buffers_are_compared_among_themselves() -> None:
    assert sorted(names(list(plan([BUFFER], PEERS, 1, 1)), 0)) == sorted(SUBJECTS)
