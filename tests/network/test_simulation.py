"""The service under the seeds of `nox -s simulate`, a few of them."""

from __future__ import annotations

import pytest

from ci.simulate.scenario import Scenario
from ci.simulate.service import play

#: Seeds that have failed, each of which a mended mistake had been behind; none so far.
FOUND: tuple[int, ...] = ()


@pytest.mark.parametrize("seed", [*FOUND, *range(60)])
def test_every_client_gets_what_it_is_owed(seed: int) -> None:
    assert play(seed).failure is None


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_comes_to_the_same_every_time(seed: int) -> None:
    assert play(seed) == play(seed)


def test_a_wrong_server_is_named() -> None:
    class Wrong(Scenario):
        def replies(self, data: bytes, *, ended: bool) -> tuple[bytes, bool]:
            replies, over = super().replies(data, ended=ended)
            return replies.lower(), over

    failures = [play(seed, Wrong).failure or "" for seed in range(10)]
    assert any("received" in failure and "owed" in failure for failure in failures)
    assert not any("\n" in failure for failure in failures)
