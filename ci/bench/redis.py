"""Redis commands under redis-benchmark, which takes the place of `load.c` for servers that speak Redis."""

import csv
import shutil
import subprocess
from collections.abc import Sequence

from ci.bench.load import BenchError

PROGRAM = "redis-benchmark"


def rates(
    port: int, tests: Sequence[str], *, depth: int, requests: int, connections: int = 50
) -> dict[str, float]:
    """Return the requests a second of each test, by the name that redis-benchmark gives it.

    Args:
        port: where the server listens, on 127.0.0.1.
        tests: as redis-benchmark takes them, such as ping_inline or set.
        depth: how many commands a connection sends before it reads the replies.
        requests: how many commands each test sends.
        connections: over how many connections.

    Raises:
        BenchError: redis-benchmark is missing, or fails.
    """
    if shutil.which(PROGRAM) is None:
        raise BenchError(f"the works of Redis need {PROGRAM} (Debian: apt-get install redis-tools)")
    command = [PROGRAM, "-h", "127.0.0.1", "-p", str(port), "-t", ",".join(tests), "--csv"]
    command += ["-P", str(depth), "-n", str(requests), "-c", str(connections)]
    said = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    if said.returncode != 0:
        raise BenchError(f"{PROGRAM} failed with status {said.returncode}")
    return {row[0]: float(row[1]) for row in csv.reader(said.stdout.splitlines()[1:])}
