"""The service under the seeds of `nox -s simulate`, a few of them."""

from __future__ import annotations

import pytest

from ci.simulate.planted import UNREACHABLE, chosen, hunt
from ci.simulate.scenario import Replies, Scenario
from ci.simulate.service import play
from fuzz.planted import BUGS

#: Seeds that have failed, each of which a mended mistake had been behind: of the network, whose connections
#: could have data before they were in the accept queue.
FOUND = (5587,)


@pytest.mark.parametrize("seed", [*FOUND, *range(60)])
def test_every_client_gets_what_it_is_owed(seed: int) -> None:
    assert play(seed).failure is None


@pytest.mark.parametrize("seed", range(5))
def test_a_seed_comes_to_the_same_every_time(seed: int) -> None:
    assert play(seed) == play(seed)


def test_a_wrong_server_is_named() -> None:
    class Wrong(Scenario):
        def replies(self, data: bytes, *, ended: bool) -> Replies:
            replies = super().replies(data, ended=ended)
            return replies._replace(said=replies.said.lower())

    failures = [play(seed, Wrong).failure or "" for seed in range(10)]
    assert any("received" in failure and "owed" in failure for failure in failures)
    assert not any("\n" in failure for failure in failures)


def test_a_planted_bug_is_found_and_how_is_told() -> None:
    [bug] = [each for each in chosen() if each.what == "sockets are left open"]
    found = hunt(bug, 20)
    assert found is not None
    assert "Error" in found[1]


def test_only_bugs_that_exist_are_left_out() -> None:
    assert UNREACHABLE.keys() <= {bug.what for bug in BUGS}
    assert len(chosen()) >= 12
