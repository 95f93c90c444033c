"""Judges our server again and again beside busy loops: every run has to give the same verdicts.

python -m ci.conformance.steady [RUNS]
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from .legs import our_legs
from .matrix import judged

_BUSY = 2
_PATIENCE = 4.0


@contextmanager
def busy_loop() -> Iterator[None]:
    """Keep a core busy while the block runs."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


def main() -> int:
    """Run every second leg in turn; return 1 if any run finds a fault, since ours has none."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        for _ in range(_BUSY):
            stack.enter_context(busy_loop())
        legs = our_legs(Path(folder))
        for number in range(runs):
            started = time.perf_counter()
            outcome = judged(legs[2 * number % len(legs)], _PATIENCE)
            seconds = time.perf_counter() - started
            print(f"{outcome.leg.name:<68} {seconds:5.1f} s  {outcome.faults or 'no fault'}", flush=True)
            faults += outcome.faults
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
