"""The service on a simulated network: clients of every sort, every fault, beside an oracle, for many seeds.

`python -m ci.simulate.service --seeds N` prints for each seed that fails what was wrong, and the command that
repeats it and shows what happened.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import sys
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

import trio
from trio.testing import MockClock

from caas_trio.testing import Network

from .clients import Client
from .scenario import Scenario, require, serving

#: How long, in simulated seconds, all may take: longer than every timeout and every fault together.
_PATIENCE_S: Final = 100_000


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


async def _play(seed: int, networks: list[Network], kind: type[Scenario] = Scenario) -> None:
    """Play one seed.

    Raises:
        AssertionError: a promise was broken.
    """
    scenario = kind.drawn(seed)
    network = Network(seed, conditions=scenario.conditions)
    networks.append(network)
    network.host("server").set_buffers(send=scenario.buffer)
    clients = [Client(scenario, network, number) for number in range(scenario.clients)]
    with trio.fail_after(_PATIENCE_S):
        async with serving(scenario, network) as server:
            async with trio.open_nursery() as nursery:
                for client in clients:
                    nursery.start_soon(client.run)
                if scenario.stop_at is not None:
                    await trio.sleep(scenario.stop_at)
                    await server.end(scenario)
            if scenario.stop_at is None:
                await server.end(scenario)
    for client in clients:
        client.check(server.began_to_stop)
    server.check()
    require(network.host("server").open_descriptors == 0, "the server leaves descriptors open")


def play(seed: int, kind: type[Scenario] = Scenario) -> Result:
    """Play one seed in a run of its own."""
    networks: list[Network] = []
    failure: str | None = None
    try:
        trio.run(_play, seed, networks, kind, clock=MockClock(autojump_threshold=0))
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is this seed's
        failure = "; ".join(dict.fromkeys(_lines(error)))
    return Result(seed, networks[0].trace_hash if networks else "", failure)


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
    try:
        trio.run(_play, seed, networks, clock=MockClock(autojump_threshold=0))
    finally:
        print(Scenario.drawn(seed))
        for event in networks[0].trace:
            print(f"{event.time:12.6f}  {event.where:20} {event.what:10} {event.data!r}")


def main() -> int:
    """Run the command; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=multiprocessing.cpu_count(), help="how many processes")
    parser.add_argument("--trace", action="store_true", help="show what happens in the first seed")
    options = parser.parse_args()
    if options.trace:
        show(options.seed)
        return 0
    begun, failures, whole = time.monotonic(), 0, hashlib.blake2b(digest_size=16)
    with multiprocessing.Pool(options.jobs) as pool:
        for result in pool.imap(play, range(options.seed, options.seed + options.seeds), chunksize=20):
            whole.update(result.trace_hash.encode())
            if result.failure is not None:
                failures += 1
                print(f"seed {result.seed}: {result.failure}")
                print(f"    python -m ci.simulate.service --trace --seed {result.seed}", flush=True)
    seconds = time.monotonic() - begun
    print(f"{options.seeds} seeds in {seconds:.0f} s, {failures} failed, traces {whole.hexdigest()}")
    return int(failures > 0)


if __name__ == "__main__":
    sys.exit(main())
