"""When a dead worker is replaced, and when that is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio.program.restarts import FIRST_DELAY_S, MAX_DELAY_S, MAX_FAILURES, SETTLED_S, Restarts

DEATHS = st.lists(st.none() | st.floats(0, 10 * SETTLED_S))


@pytest.mark.parametrize("ready_for_s", [None, 0.0, SETTLED_S - 0.01])
def test_repeated_early_deaths_are_given_up(ready_for_s: float | None) -> None:
    restarts = Restarts()
    assert [restarts.died(ready_for_s) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, None]


@given(DEATHS)
def test_serving_for_long_resets_the_count(
    before: list[float | None],
) -> None:
    restarts = Restarts()
    for ready_for_s in before:
        restarts.died(ready_for_s)
    assert restarts.died(SETTLED_S) == 0
    assert restarts.died(None) == FIRST_DELAY_S


@given(DEATHS)
def test_the_limit_of_failures_is_exact(deaths: list[float | None]) -> None:
    restarts = Restarts()
    row = 0
    for ready_for_s in deaths:
        row = 0 if ready_for_s is not None and ready_for_s >= SETTLED_S else row + 1
        assert (restarts.died(ready_for_s) is None) == (row == MAX_FAILURES)


def test_exhausted_resources_are_retried_for_ever() -> None:
    restarts = Restarts()
    assert [restarts.died(None) for _ in range(4)] == [0.1, 0.2, 0.4, 0.8]
    delays = [restarts.had_no_room() for _ in range(10_000)]
    assert delays[:6] == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    assert set(delays[6:]) == {MAX_DELAY_S}
    assert restarts.died(None) is None
    assert restarts.had_no_room() == FIRST_DELAY_S
