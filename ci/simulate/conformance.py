"""The conformance suite on a simulated network: our server in its settings, judged in memory.

`python -m ci.simulate.conformance [NAME ...]` prints a line for each setting, and what is wrong. The verdicts
have to be those on real sockets (`nox -s conformance`), where ours passes all it is judged by. What cannot be
judged here:

* the settings that are processes: several workers, and sockets that systemd passes;
* what our service is not: TIME-1.bytes-at-once is for servers that echo bytes;
* the cases of TIME-2, which compare how long two replies take: by the mock clock, work takes no time.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, cast

import trio
import trustme
from trio.testing import MockClock

from caas_trio import App, Endpoint, Telemetry
from caas_trio.conformance import CASES, Case, Verdict, judge
from caas_trio.drivers.choice import DriverName
from caas_trio.program.command import parse
from caas_trio.program.program import Program
from caas_trio.server.hosting import serve_app
from caas_trio.testing import Network
from ci.conformance.legs import Leg, our_legs

#: What a leg is that cannot run here: sockets from another process, and several processes.
_PROCESSES: Final = ("systemd:", "--workers")

#: By scheme: where the server is on its host.
_PLACES: Final = {
    "tcp": "tcp://server:7",
    "tls": "tls://server:7",
    "udp": "udp://server:7",
    "unix": "unix:/run/judged",
    "unixgram": "unixgram:/run/judged",
}

#: Where it is if the client is a proxy, which is trusted on this host alone.
_BEHIND_A_PROXY: Final = "tcp://127.0.0.1:7"

#: Of silence, by the mock clock.
_TIMEOUT_S: Final = 4.0

#: What can be judged here.
JUDGED: Final = tuple(case for case in CASES if case.clause != "TIME-2")


class Outcome(NamedTuple):
    """The result of a leg.

    Attributes:
        name: the leg's.
        verdicts: by the id of the case.
        faults: what is wrong, a line each.
        seconds: how long it took.
    """

    name: str
    verdicts: dict[str, Verdict]
    faults: list[str]
    seconds: float


def legs(folder: Path) -> list[Leg]:
    """Return the legs of our own server that can run in memory, each at its place on the network."""
    authority = trustme.CA()
    authority.issue_cert("server").private_key_and_cert_chain_pem.write_to_path(folder / "simulated.pem")
    authority.cert_pem.write_to_path(folder / "trusted.pem")
    return [
        _moved(leg, folder)
        for leg in our_legs(folder)
        if not any(word.startswith(_PROCESSES) for word in leg.command)
    ]


def _moved(leg: Leg, folder: Path) -> Leg:
    """Return a leg with the words of its command line alone, for a server on the network."""
    place, *options = leg.command[3:]
    scheme = Endpoint.parse(place).scheme.value
    words = [_BEHIND_A_PROXY if leg.profile.proxy and scheme == "tcp" else _PLACES[scheme], *options]
    if scheme != "tls":
        return replace(leg, command=tuple(words))
    words[-1] = str(folder / "simulated.pem")
    profile = replace(leg.profile, tls_ca=str(folder / "trusted.pem"))
    return replace(leg, command=tuple(words), profile=profile)


@asynccontextmanager
async def _serving(leg: Leg, network: Network) -> AsyncIterator[Endpoint]:
    """Serve what a command line asks for on the host `server`; yield where."""
    program = parse([*leg.command])
    assert isinstance(program, Program)  # noqa: S101 - no option of a leg prints something and ends
    assert isinstance(program.app, App)  # noqa: S101 - none of them names an app
    driver = cast("DriverName", leg.environment.get("CAAS_TRIO_DRIVER", "auto"))
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        start = partial(
            serve_app,
            program.app,
            program.endpoints,
            limits=program.limits,
            trust=program.trust,
            driver=driver,
            telemetry=Telemetry(),
            machine=network.host("server"),
            stop=stop,
        )
        [endpoint] = await nursery.start(start)
        yield endpoint
        stop.set()


async def _judge(leg: Leg, cases: Sequence[Case]) -> Outcome:
    network, begun = Network(), time.monotonic()
    endpoint = Endpoint.parse(leg.command[0])
    client = network.host("client" if endpoint.host == "server" else "server")
    with client.installed():
        async with _serving(leg, network):
            report = await judge(endpoint, leg.profile, cases, timeout_s=_TIMEOUT_S, jobs=leg.jobs)
    return Outcome(
        leg.name,
        {result.case.id: result.verdict for result in report.results},
        [
            f"{result.case.id} says of {fault.clause}: {fault.reason}"
            for result in report.results
            for fault in result.faults
        ],
        time.monotonic() - begun,
    )


def judged(leg: Leg, cases: Sequence[Case] = JUDGED) -> Outcome:
    """Judge a leg, in a run of its own."""
    return trio.run(_judge, leg, cases, clock=MockClock(autojump_threshold=0))


def main() -> int:
    """Judge all legs, or those that are named; return the exit status."""
    names, wrong, passed = sys.argv[1:], 0, set[str]()
    with tempfile.TemporaryDirectory() as folder, multiprocessing.Pool() as pool:
        chosen = [leg for leg in legs(Path(folder)) if not names or leg.name in names]
        for outcome in pool.imap(judged, chosen):
            verdicts = Counter(verdict.value for verdict in outcome.verdicts.values())
            told = ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
            print(f"{outcome.name:<66} {outcome.seconds:5.1f} s  {told}", flush=True)
            for line in outcome.faults:
                wrong += 1
                print(f"       {line}", flush=True)
            passed |= {case for case, verdict in outcome.verdicts.items() if verdict is Verdict.PASSED}
    fitting = {case.id for case in JUDGED for leg in chosen if case.unfit(leg.profile) is None}
    unjudged = sorted(fitting - passed)
    print(f"{len(passed)} of {len(fitting)} cases passed in {len(chosen)} settings")
    print("".join(f"{case} was passed in none\n" for case in unjudged), end="")
    return int(wrong > 0 or bool(unjudged))


if __name__ == "__main__":
    sys.exit(main())
