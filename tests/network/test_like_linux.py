"""The simulated network is like Linux: random scripts of calls come to the same on both."""

from __future__ import annotations

import sys

import pytest

from ci.simulate.calls import differences

#: `nox -s simulate` runs more.
SCRIPTS = 3000


@pytest.mark.skipif(sys.platform != "linux", reason="it is Linux that is simulated")
def test_scripts_of_calls_come_to_the_same_on_the_real_kernel() -> None:
    assert list(differences(SCRIPTS)) == []
