"""`Limits`: the values a server keeps."""

from __future__ import annotations

import math
from typing import Any

import pytest

from caas_trio import LimitError, Limits
from caas_trio.core.limits import COUNTS, TIMES


@pytest.mark.parametrize("value", [-0.1, math.nan])
@pytest.mark.parametrize("name", TIMES)
def test_a_time_no_clock_can_count_is_refused(name: str, value: float) -> None:
    wrong: dict[str, Any] = {name: value}
    with pytest.raises(LimitError, match=f"^{name} is {value}; it must be a number of seconds, 0 or more$"):
        Limits(**wrong)


@pytest.mark.parametrize("name", COUNTS)
def test_zero_is_refused_as_a_count(name: str) -> None:
    wrong: dict[str, Any] = {name: 0}
    with pytest.raises(LimitError, match=f"^{name} is 0; it must be 1 or more$"):
        Limits(**wrong)


def test_every_limit_is_checked() -> None:
    assert {*COUNTS, *TIMES, "at_capacity"} == set(Limits.__dataclass_fields__)


def test_zero_and_infinity_are_valid_times() -> None:
    assert Limits(drain_timeout=0, prompt_delay=math.inf).prompt_delay == math.inf


@pytest.mark.parametrize("name", COUNTS)
def test_one_is_a_valid_count(name: str) -> None:
    one: dict[str, Any] = {name: 1}
    assert getattr(Limits(**one), name) == 1
