"""`Limits`: the values a server keeps."""

from __future__ import annotations

import math

import pytest

from caas_trio import LimitError, Limits


@pytest.mark.parametrize("value", [-0.1, math.nan])
@pytest.mark.parametrize("name", ["prompt_delay", "linger_timeout", "drain_timeout"])
def test_a_time_no_clock_can_count_is_refused(name: str, value: float) -> None:
    with pytest.raises(LimitError, match=f"{name} is .*; it must be a number of seconds, 0 or more"):
        Limits(**{name: value})


def test_no_time_and_endless_time_are_times() -> None:
    assert Limits(drain_timeout=0, prompt_delay=math.inf).prompt_delay == math.inf
