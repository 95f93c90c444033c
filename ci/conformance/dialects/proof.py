"""Proves that the suite bites in any dialect: a wrong server fails by its clause, a right one by none.

    python -m ci.conformance.dialects.proof [--quick | NAME | CLAUSE ...]

With `--quick`, the right servers, and the first wrong one of each clause.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass

import trio
import trustme

from caas_trio.conformance import Profile, judge
from caas_trio.conformance.case import Case
from caas_trio.conformance.clauses import CLAUSES
from caas_trio.conformance.dialects.dialect import Dialect
from caas_trio.conformance.dialects.parsing import load
from caas_trio.core.endpoint import Endpoint

from .protocols import PROTOCOLS
from .serving import Conversation, DialectServer, Protocol
from .wrong import WRONG

#: Servers judged at a time: most of a trial is waiting. Those that are not judged as they should be, as on a
#: busy machine, are judged alone, and a second time.
_ATTEMPTS = (4 * (os.cpu_count() or 1), 1, 1)
_TIMEOUT_S = 4.0


@dataclass(frozen=True)
class Trial:
    """One server and what the suite has to find."""

    name: str
    protocol: Protocol
    server: type[DialectServer]
    dialect: Dialect
    breaks: str = ""
    jobs: int = 8


def trials() -> dict[str, Trial]:
    """Return the trials: a right server for each dialect, then the wrong ones."""
    right = [
        Trial(f"right-{protocol.dialect}", protocol, DialectServer, load(protocol.dialect))
        for protocol in PROTOCOLS
    ]
    wrong = [
        Trial(each.name, each.protocol, each.server, each.dialect, each.breaks, each.jobs)
        for each in WRONG.values()
    ]
    return {trial.name: trial for trial in (*right, *wrong)}


@contextmanager
def running(server: type[DialectServer], protocol: Protocol) -> Iterator[Endpoint]:
    """Run a server in threads for as long as the block lasts; it has a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    Conversation.certificate = context
    instance = server(protocol)
    threading.Thread(target=instance.run, daemon=True).start()
    try:
        yield Endpoint.parse(instance.endpoint)
    finally:
        instance.stop()


async def judged(trial: Trial, cases: list[Case] | None = None) -> dict[str, str]:
    """Return the clauses that the suite finds broken, each with a case that says so."""
    with running(trial.server, trial.protocol) as endpoint:
        report = await judge(
            endpoint, Profile(dialect=trial.dialect), cases, timeout_s=_TIMEOUT_S, jobs=trial.jobs
        )
    return {
        fault.clause: f"{result.case.id} ({fault.reason})"
        for result in report.results
        for fault in result.faults
    }


@dataclass(frozen=True)
class Verdict:
    """The findings of the suite in one server."""

    name: str
    breaks: str
    faults: dict[str, str]
    seconds: float

    @property
    def right(self) -> bool:
        """Return whether that is what it has to find."""
        return set(self.faults) == ({self.breaks} if self.breaks else set())

    def __str__(self) -> str:
        found = ", ".join(f"{clause} by {case}" for clause, case in sorted(self.faults.items())) or "no fault"
        word = "ok" if self.right else "WRONG"
        return f"{word:<6} {self.name:<32} {self.breaks:<9} {self.seconds:5.1f} s  {found}"


def run_trial(name: str) -> Verdict:
    """Judge one server."""
    started = time.perf_counter()
    trial = trials()[name]
    return Verdict(name, trial.breaks, trio.run(judged, trial), time.perf_counter() - started)


def chosen(names: list[str]) -> list[str]:
    """Return the names of all trials, or of those that are asked for by name or clause."""
    there = trials()
    if names == ["--quick"]:
        first = {trial.breaks: name for name, trial in reversed(there.items()) if trial.breaks}
        return [*(name for name, trial in there.items() if not trial.breaks), *first.values()]
    if unknown := [name for name in names if name not in there and name not in CLAUSES]:
        sys.exit(f"no server is called {', '.join(unknown)}")
    return [name for name, trial in there.items() if not names or name in names or trial.breaks in names]


def run(names: list[str]) -> list[str]:
    """Judge the servers that are asked for; return the names of those not judged as they should be."""
    wrong = chosen(names)
    for at_once in _ATTEMPTS:
        verdicts: list[Verdict] = []
        with ProcessPoolExecutor(at_once) as pool:
            for future in as_completed([pool.submit(run_trial, name) for name in wrong]):
                verdicts.append(future.result())
                print(verdicts[-1], flush=True)
        wrong = [verdict.name for verdict in verdicts if not verdict.right]
        print(
            f"{len(verdicts)} servers, not judged as they should be: {', '.join(wrong) or 'none'}", flush=True
        )
        if not wrong:
            break
    return wrong


if __name__ == "__main__":
    sys.exit(1 if run(sys.argv[1:]) else 0)
