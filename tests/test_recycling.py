"""When a worker is worn, and how what it was doing gets to its supervisor."""

from __future__ import annotations

import math
import os

import pytest
import trio
from trio.testing import MockClock

from caas_trio.program.recycling import StackPipe, WorkerLimits, resident_bytes, wait_until_worn


def least(low: float, _: float) -> float:
    return low


def greatest(_: float, high: float) -> float:
    return high


@pytest.mark.parametrize(("vary", "seconds"), [(least, 90.0), (greatest, 110.0)])
async def test_a_lifetime_is_varied_by_a_tenth(
    vary: object, seconds: float, autojump_clock: MockClock
) -> None:
    assert await wait_until_worn(1, WorkerLimits(lifetime=100), vary=vary) == "lifetime"  # type: ignore[arg-type]
    assert trio.current_time() == pytest.approx(seconds)


@pytest.mark.parametrize(("vary", "after"), [(least, 90), (greatest, 100)])
async def test_a_growing_worker_is_replaced_before_its_limit(
    vary: object, after: int, autojump_clock: MockClock
) -> None:
    def growing(_: int) -> int:
        return round(trio.current_time())

    limits = WorkerLimits(max_rss=100)
    assert await wait_until_worn(1, limits, vary=vary, rss_of=growing) == "max_rss"  # type: ignore[arg-type]
    assert trio.current_time() == after + 1


async def test_both_limits_may_be_set(autojump_clock: MockClock) -> None:
    limits = WorkerLimits(lifetime=10.5, max_rss=10**12)
    assert await wait_until_worn(os.getpid(), limits, vary=greatest) == "lifetime"
    assert trio.current_time() == pytest.approx(11.55)


async def test_without_a_limit_no_worker_is_replaced(autojump_clock: MockClock) -> None:
    with trio.move_on_after(1e6) as scope:
        await wait_until_worn(os.getpid(), WorkerLimits())
    assert scope.cancelled_caught
    assert WorkerLimits().lifetime == WorkerLimits().max_rss == math.inf


def test_rss_is_known_while_the_process_lives() -> None:
    assert 1 << 20 < resident_bytes(os.getpid()) < 1 << 40
    assert resident_bytes(2**22 + 1) == 0  # more than the kernel has


def test_the_stack_pipe_never_blocks() -> None:
    with StackPipe() as pipe:
        assert pipe.read() == ""
        os.write(pipe.write_end, b"File \xff")
        assert pipe.read() == r"File \xff"
        assert os.write(pipe.write_end, bytes(1 << 20)) < 1 << 20
