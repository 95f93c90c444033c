"""The parts that all tests share.

House rules for tests that use the network: loopback only, port 0, and the test decides who closes
first. Time is the mock clock's (`autojump_clock`) wherever the socket is in memory; where it is a
real one, nothing is slept for: a test waits for bytes, or for the end of the stream. pytest-trio is
used for its mode and its clock fixture, and for nothing else. It takes the clock from a test's own
arguments: `usefixtures` alone leaves the real one.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import hypothesis
import pytest

from caas_trio.drivers.choice import DriverName

from .support.drivers import choosing

# The gate repeats itself exactly, and so do mutants, where that a test fails is all that counts; the longer,
# random search is started by hand (see fuzz/README.md).
hypothesis.settings.register_profile("gate", derandomize=True, database=None, deadline=None, max_examples=200)
hypothesis.settings.register_profile(
    "mutants",
    hypothesis.settings.get_profile("gate"),
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
hypothesis.settings.register_profile("search", deadline=None, max_examples=5000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))

# What nohup or a shell's `&` has this process ignore would be ignored by the programs that tests start, too.
for number, handler in ((signal.SIGHUP, signal.SIG_DFL), (signal.SIGINT, signal.default_int_handler)):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


@pytest.fixture(params=["hub", "stream"])
def driver(request: pytest.FixtureRequest) -> Iterator[DriverName]:
    """Run the test over both drivers, for servers that `tests.support.drivers` starts."""
    name: DriverName = request.param
    with choosing(name):
        yield name
