"""When a dead worker is replaced, and when that is given up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caas_trio.program.restarts import FIRST_DELAY, MAX_FAILURES, SETTLED, Restarts

DEATHS = st.lists(st.none() | st.floats(0, 10 * SETTLED))


@pytest.mark.parametrize("lived", [None, 0.0, SETTLED - 0.01])
def test_who_dies_at_once_again_and_again_is_given_up(lived: float | None) -> None:
    restarts = Restarts()
    assert [restarts.died(lived) for _ in range(5)] == [0.1, 0.2, 0.4, 0.8, None]


@given(DEATHS)
def test_who_has_lived_is_replaced_at_once_and_forgives_what_was_before(before: list[float | None]) -> None:
    restarts = Restarts()
    for lived in before:
        restarts.died(lived)
    assert restarts.died(SETTLED) == 0
    assert restarts.died(None) == FIRST_DELAY


@given(DEATHS)
def test_it_is_given_up_after_so_many_in_a_row_and_not_before(deaths: list[float | None]) -> None:
    restarts = Restarts()
    row = 0
    for lived in deaths:
        row = 0 if lived is not None and lived >= SETTLED else row + 1
        assert (restarts.died(lived) is None) is (row == MAX_FAILURES)
