"""The service on a simulated network: clients of every sort, every fault, beside an oracle, for many seeds.

`python -m ci.simulate.service --seeds N` prints for each seed that fails what was wrong, and the command that
repeats it and shows what happened.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

import trio
from trio.testing import MockClock

from caas_trio.testing import Network

from . import oracle
from .clients import Client
from .scenario import Scenario
from .server import SimulatedServer, serving

#: How long, in simulated seconds, all may take: longer than every timeout and every fault together.
_END_TIMEOUT_S: Final = 100_000

#: How long a seed may keep the processor busy, in seconds: it takes some hundredths.
_BUSY_S: Final = 20


class Result(NamedTuple):
    """The result of a seed.

    Attributes:
        seed: the seed.
        trace_hash: what happened, in short.
        failure: what was wrong; None if nothing was.
    """

    seed: int
    trace_hash: str
    failure: str | None


async def _play(scenario: Scenario, networks: list[Network], clock: MockClock) -> None:
    """Play one seed.

    Raises:
        AssertionError: a promise was broken.
    """
    network = Network(scenario.seed, conditions=scenario.conditions)
    networks.append(network)
    with trio.fail_after(_END_TIMEOUT_S):
        async with serving(scenario, network, clock) as server:
            clients = [Client(server, number) for number in range(scenario.clients)]
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(client.run)
                await _reach_the_end(server, clients)
                server.released.set()
            await server.end()
    oracle.check(server, clients)


async def _reach_the_end(server: SimulatedServer, clients: list[Client]) -> None:
    """Stop the server when the scenario says so; else return when nothing happens any more."""
    stop = server.scenario.stop
    if stop is None:
        for client in clients:
            await client.settled.wait()
        await server.check_rest()
        return
    with trio.move_on_after(stop.at):
        await server.stopping.wait()
    if stop.retires and server.stopped is None:
        server.retire()
        with trio.move_on_after(stop.retires):
            await server.stopping.wait()
    await server.end()


def play(seed: int, kind: type[Scenario] = Scenario) -> Result:
    """Play one seed in a run of its own."""
    networks: list[Network] = []
    failure: str | None = None
    clock = MockClock(autojump_threshold=0)
    try:
        with _bounded():
            trio.run(_play, kind.drawn(seed), networks, clock, clock=clock)
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is this seed's
        failure = "; ".join(dict.fromkeys(_lines(error)))
    return Result(seed, networks[0].trace_hash if networks else "", failure)


@contextmanager
def _bounded() -> Iterator[None]:
    """Raise TimeoutError in a block that keeps the processor busy for too long."""

    def end(*_: object) -> None:
        raise TimeoutError(f"busy for {_BUSY_S} s")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, _BUSY_S, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _lines(error: BaseException) -> Iterator[str]:
    """Yield what the errors in a group are, each in one line."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _lines(each)
    else:
        yield " ".join(f"{type(error).__name__}: {error}".split())


def show(seed: int) -> None:
    """Print what happens in one seed."""
    networks: list[Network] = []
    scenario = Scenario.drawn(seed)
    clock = MockClock(autojump_threshold=0)
    try:
        trio.run(_play, scenario, networks, clock, clock=clock)
    finally:
        print(scenario)
        for event in networks[0].trace:
            print(f"{event.time:12.6f}  {event.where:20} {event.what:10} {event.data!r}")


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="how many processes")
    parser.add_argument("--first", action="store_true", help="end with the first seed that fails")
    parser.add_argument("--trace", action="store_true", help="show what happens in the first seed")
    options = parser.parse_args()
    if options.trace:
        show(options.seed)
        return 0
    begun, failures, whole, played = time.monotonic(), 0, hashlib.blake2b(digest_size=16), 0
    with multiprocessing.Pool(options.jobs) as pool:
        for result in pool.imap(play, range(options.seed, options.seed + options.seeds), chunksize=20):
            played += 1
            whole.update(result.trace_hash.encode())
            if result.failure is not None:
                failures += 1
                print(f"seed {result.seed}: {result.failure}")
                print(f"    python -m ci.simulate.service --trace --seed {result.seed}", flush=True)
                if options.first:
                    break
    seconds = time.monotonic() - begun
    print(f"{played} seeds in {seconds:.0f} s, {failures} failed, traces {whole.hexdigest()}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
