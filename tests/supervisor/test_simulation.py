"""The supervisor under the seeds of `nox -s simulate`, a few of them."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest
import trio
from trio.testing import MockClock

from ci.simulate.course import Course
from ci.simulate.supervisor import Supervision, play

#: Seeds that have failed, each of which a mended mistake had been behind: a worn worker that died with its
#: successor, and was never replaced.
FOUND = (230,)


@pytest.mark.parametrize("seed", [*FOUND, *range(24)])
def test_the_service_goes_on_and_ends_as_it_should(seed: int) -> None:
    assert play(seed).failure is None


@pytest.mark.parametrize("seed", range(3))
def test_a_seed_comes_to_the_same_every_time(seed: int) -> None:
    assert play(seed) == play(seed)


@pytest.mark.slow
def test_signals_that_a_shell_ignores_are_handled() -> None:
    """Slow: it starts Pythons."""
    command = [sys.executable, "-m", "ci.simulate.supervisor", "--seed=2", "--seeds=10"]
    in_background = ["sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"]
    subprocess.run([*in_background, *command], check=True)


@pytest.fixture
def run(nursery: trio.Nursery) -> Supervision:
    run = Supervision(Course.drawn(0), nursery, random.Random(0))  # noqa: S311 - it chooses nothing
    run.ended_at = 1000.0
    return run


async def test_a_reload_without_a_result_is_noticed(run: Supervision) -> None:
    run.reloads, run.results = [5.0, 300.0], [5.5]
    with pytest.raises(AssertionError, match="the reload of 300 s has no result"):
        run.check_reloads()
    run.results += [301.0, 302.0]
    with pytest.raises(AssertionError, match="more results than reloads"):
        run.check_reloads()


async def test_endless_restarts_are_noticed(run: Supervision) -> None:
    run.starts = [7 + number / 100 for number in range(40)]
    with pytest.raises(AssertionError, match="40 workers are started within a second"):
        run.check_starts()


async def test_a_slow_stop_and_a_needless_end_are_noticed(run: Supervision) -> None:
    run.stops = [900.0, 990.0]
    with pytest.raises(AssertionError, match="the second stop took 10 seconds"):
        run.check_end()
    run.stops = [100.0]
    with pytest.raises(AssertionError, match="the stop took 900 seconds"):
        run.check_end()
    run.stops, run.failure = [], ValueError("a")
    with pytest.raises(AssertionError, match="given up without a reason: a"):
        run.check_end()


async def test_a_missing_worker_is_noticed(run: Supervision, autojump_clock: MockClock) -> None:
    run.current = 1
    with pytest.raises(AssertionError, match=r"\[\] serve, and 1 should"):
        run.check_settled()
    run.current, run.starts = 0, [0.0]
    with pytest.raises(AssertionError, match="still being started"):
        run.check_settled()
    await trio.sleep(200)
    run.check_settled()
