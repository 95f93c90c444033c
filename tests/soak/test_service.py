"""The service that a soak has started does not outlive it."""

from __future__ import annotations

import signal
import subprocess
import sys

import psutil
import pytest

SOAK = """
import time
from ci.soak.service import end_as_by_ctrl_c, running
end_as_by_ctrl_c()
with running(["--workers", "2"], ["tcp"]) as service:
    print(service.process.pid, *(worker.pid for worker in service.workers()), flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.slow
def test_a_signal_to_the_soak_ends_the_service(ends: signal.Signals) -> None:
    """Slow: a soak, its service and its clients start a Python each."""
    with subprocess.Popen(
        [sys.executable, "-c", SOAK], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as soak:
        assert soak.stdout is not None
        started = [psutil.Process(int(pid)) for pid in soak.stdout.readline().split()]
        assert len(started) == 3
        soak.send_signal(ends)
        _, alive = psutil.wait_procs(started, timeout=20)
        assert not alive
        assert soak.wait(20) != 0
