"""Proves that the suite bites: a wrong server fails by exactly the clause it breaks, the right one by none.

python -m ci.conformance.proof [--quick | NAME | CLAUSE ...]

With `--quick`, the right servers, and the first wrong one of each clause.
"""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import trio

from caas_trio.conformance import First, Oversize, Profile, Proxy, Service, judge
from caas_trio.conformance.clauses import CLAUSES
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.terminator import Terminator
from ci.process import serving

from .reference import Settings
from .wrong import WRONG, Wrong

#: Servers judged at a time: much of a run is waiting, for silence above all. Some are wrong about time,
#: and are so in more ways while the machine is busy, with other trials or for reasons of its own: those
#: that are not judged as they should be are judged alone, and a second time.
_ATTEMPTS = (4 * (os.cpu_count() or 1), 1, 1)
#: Local servers answer in milliseconds; this is for a busy machine.
_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Trial:
    """One server and what the suite has to find."""

    name: str
    command: list[str]
    profile: Profile
    breaks: str
    jobs: int = 8


def profile_of(settings: Settings, scheme: str, *, limited: bool) -> Profile:
    """Return the arguments that declare a server's settings to the suite."""
    return Profile(
        service=Service(settings.service),
        first=First(settings.first),
        prompt=settings.prompt,
        max_line=settings.max_line if limited else None,
        oversize=Oversize(settings.oversize) if settings.oversize else None,
        once=settings.once,
        terminator=Terminator.CRLF if settings.strict else Terminator.LF,
        proxy=Proxy(settings.proxy) if settings.proxy else None,
        datagrams=scheme in ("udp", "unixgram"),
    )


def endpoint_for(scheme: str, folder: Path, name: str) -> str:
    """Return a free place to listen."""
    return f"{scheme}:{folder / name}" if scheme.startswith("unix") else f"{scheme}://127.0.0.1:0"


def wrong_trial(wrong: Wrong, folder: Path) -> Trial:
    """Return the trial of a wrong server."""
    endpoint = endpoint_for(wrong.scheme, folder, wrong.name)
    command = [sys.executable, "-m", "ci.conformance.wrong", wrong.name, endpoint]
    profile = profile_of(wrong.declared, wrong.scheme, limited=wrong.limited)
    return Trial(wrong.name, command, profile, wrong.breaks, wrong.jobs)


def right_trials(folder: Path) -> list[Trial]:
    """Return the trials of the right server: each order with each policy, and what else it can be."""
    crossed = [
        ("tcp", Settings(first=first, max_line=100, oversize=oversize))
        for first, oversize in itertools.product(
            ("client", "server", "either"), ("reject", "discard", "stream")
        )
    ]
    more = [
        ("unix", Settings(max_line=1000, oversize="reject")),
        ("unix", Settings(first="server", service="echo", max_line=1000, oversize="discard")),
        ("tcp", Settings(service="echo-bytes")),
        ("tcp", Settings(service="echo-bytes", first="either")),
        ("tcp", Settings(max_line=100, oversize="reject", strict=True)),
        ("unix", Settings(first="either", max_line=100, oversize="discard", strict=True)),
        ("tcp", Settings(once=True)),
        ("tcp", Settings(once=True, first="server")),
        ("tcp", Settings(first="server", proxy="v1")),
        ("unix", Settings(first="either", proxy="v2")),
        ("udp", Settings()),
        ("unixgram", Settings()),
    ]
    return [right_trial(scheme, settings, folder) for scheme, settings in crossed + more]


def right_trial(scheme: str, settings: Settings, folder: Path) -> Trial:
    """Return the trial of the right server with some settings."""
    more = ["--once"] if settings.once else []
    more += ["--strict"] if settings.strict else []
    more += [f"--proxy={settings.proxy}"] if settings.proxy else []
    name = "-".join(["right", scheme, settings.first, settings.oversize, settings.service, *more])
    options = [f"--{option}={getattr(settings, option)}" for option in ("service", "first", "oversize")]
    options += [f"--max-line={settings.max_line}", *more]
    command = [sys.executable, "-m", "ci.conformance.reference", endpoint_for(scheme, folder, name), *options]
    limited = settings.max_line != Settings.max_line
    return Trial(name, command, profile_of(settings, scheme, limited=limited), "")


async def judged(trial: Trial) -> dict[str, str]:
    """Return the clauses that the suite finds broken, each with a case that says so."""
    async with serving(trial.command) as server:
        report = await judge(
            Endpoint.parse(server.endpoint), trial.profile, timeout_s=_TIMEOUT_S, jobs=trial.jobs
        )
    return {fault.clause: result.case.id for result in report.results for fault in result.faults}


@dataclass(frozen=True)
class Verdict:
    """The findings of the suite in one server."""

    trial: Trial
    faults: dict[str, str]
    seconds: float

    @property
    def right(self) -> bool:
        """Return whether that is what it has to find."""
        return set(self.faults) == ({self.trial.breaks} if self.trial.breaks else set())

    def __str__(self) -> str:
        found = ", ".join(f"{clause} by {case}" for clause, case in sorted(self.faults.items())) or "no fault"
        word, trial = "ok" if self.right else "WRONG", self.trial
        return f"{word:<6} {trial.name:<40} {trial.breaks:<9} {self.seconds:5.1f} s  {found}"


def run_trial(trial: Trial) -> Verdict:
    """Judge one server."""
    started = time.perf_counter()
    faults = trio.run(judged, trial)
    return Verdict(trial, faults, time.perf_counter() - started)


def quick_names() -> list[str]:
    """Return the names of the right servers and of one wrong server for each clause."""
    first = {wrong.breaks: wrong.name for wrong in reversed(WRONG.values())}
    with tempfile.TemporaryDirectory() as folder:
        right = [trial.name for trial in right_trials(Path(folder))]
    return [*right, *first.values()]


def run(names: list[str]) -> list[str]:
    """Run all trials, or those named; return the names of those that went wrong."""
    wrong = quick_names() if names == ["--quick"] else names
    for at_once in _ATTEMPTS:
        with tempfile.TemporaryDirectory() as folder:
            verdicts = judge_all(chosen(wrong, Path(folder)), at_once)
        wrong = [verdict.trial.name for verdict in verdicts if not verdict.right]
        listed = ", ".join(wrong) or "none"
        print(f"{len(verdicts)} servers, not judged as they should be: {listed}", flush=True)
        if not wrong:
            break
    return wrong


def chosen(names: list[str], folder: Path) -> list[Trial]:
    """Return all trials, or those of some names or clauses; their Unix sockets are in `folder`."""
    trials = [*right_trials(folder), *(wrong_trial(wrong, folder) for wrong in WRONG.values())]
    breaking = [wrong.name for wrong in WRONG.values() if wrong.breaks in names]
    names = [*breaking, *(name for name in names if name not in CLAUSES)]
    if unknown := set(names) - {trial.name for trial in trials}:
        sys.exit(f"no server is called {', '.join(sorted(unknown))}")
    return [trial for trial in trials if not names or trial.name in names]


def judge_all(trials: list[Trial], at_once: int) -> list[Verdict]:
    """Judge a number of servers at a time, and print each verdict."""
    verdicts: list[Verdict] = []
    slow_ones_first = sorted(trials, key=lambda trial: trial.jobs)
    with ProcessPoolExecutor(at_once) as pool:
        for future in as_completed(pool.submit(run_trial, trial) for trial in slow_ones_first):
            verdicts.append(future.result())
            print(verdicts[-1], flush=True)
    return verdicts


if __name__ == "__main__":
    sys.exit(1 if run(sys.argv[1:]) else 0)
