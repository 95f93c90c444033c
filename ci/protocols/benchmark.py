"""Measures the Redis of docs/examples by redis-benchmark: `python -m ci.protocols.benchmark`.

Beside it are Redis itself, and the same over asyncio streams and uvloop streams (`streams.py`). The servers
take turns, round after round, so that whatever else the machine does hits all of them; a ratio is the median
of the ratios of the rounds.

    python -m ci.protocols.benchmark [--rounds 5] [--requests 100000] [--check]
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from ci.bench import redis
from ci.process import start

from .checking import HOST
from .redis_clients import redis_server

EXAMPLES: Final = Path(__file__).parents[2] / "docs" / "examples"
OURS: Final = "caas_trio"
ASYNCIO: Final = "asyncio streams"
#: What ours is compared with.
PEERS: Final = (ASYNCIO, "uvloop streams", "redis-server")
#: How many commands are sent at a time.
DEPTHS: Final = (1, 16)
TESTS: Final = ("ping_inline", "ping_mbulk", "set", "get")
#: How many times the rate of asyncio streams is wanted, at each depth.
WANTED: Final = {1: 1.0, 16: 3.0}


def rates(port: int, requests: int) -> dict[tuple[str, int], float]:
    """Return the requests a second, by test and depth."""
    return {
        (test, depth): rate
        for depth in DEPTHS
        for test, rate in redis.rates(port, TESTS, depth=depth, requests=requests).items()
    }


def servers(stack: ExitStack) -> dict[str, int]:
    """Start the servers, to be stopped with the stack; return their ports."""
    streams = [sys.executable, "-m", "ci.protocols.streams", "0"]
    endpoint = f"tcp://{HOST}:0"
    commands = {
        OURS: [
            sys.executable,
            "-m",
            "caas_trio",
            "--app",
            "redis_subset:app",
            endpoint,
            "--app-dir",
            str(EXAMPLES),
        ],
        ASYNCIO: streams,
        "uvloop streams": [*streams, "uvloop"],
    }
    ports = {"redis-server": stack.enter_context(redis_server())}
    for name, command in commands.items():
        ports[name] = int(stack.enter_context(start(command)).endpoint.rpartition(":")[2])
    return ports


def main() -> int:
    """Measure, print a table, and return the exit status: 1 with --check if a ratio is too low."""
    parser = argparse.ArgumentParser(prog="python -m ci.protocols.benchmark")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server has its turn")
    parser.add_argument("--requests", type=int, default=100_000, help="for each test")
    parser.add_argument("--check", action="store_true", help="fail if a ratio is below what is wanted")
    options = parser.parse_args()
    missing = [name for name in ("redis-benchmark", "redis-server") if shutil.which(name) is None]
    if missing:
        print(f"not installed: {', '.join(missing)}; Debian has them in redis-tools and redis-server")
        return 1
    with ExitStack() as stack:
        ports = servers(stack)
        rounds = []
        for number in range(options.rounds):
            order = list(ports)[number % len(ports) :] + list(ports)[: number % len(ports)]
            rounds.append({name: rates(ports[name], options.requests) for name in order})
    low = 0
    print(
        f"{'':24}", *(f"{name:>16}" for name in ports), f"{'x asyncio':>10} {'x uvloop':>10} {'x Redis':>8}"
    )
    for test in ((name, depth) for depth in DEPTHS for name in map(str.upper, TESTS)):
        medians = [f"{median(each[name][test] for each in rounds):16,.0f}" for name in ports]
        ratios = [median(each[OURS][test] / each[peer][test] for each in rounds) for peer in PEERS]
        low += ratios[0] < WANTED[test[1]]
        print(f"{test[0]:16} -P {test[1]:<4}", *medians, *(f"{ratio:9.2f}" for ratio in ratios))
    print(f"{low} ratios to {ASYNCIO} are lower than wanted: {WANTED}" if low else "as wanted")
    return 1 if low and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
