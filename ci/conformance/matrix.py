"""Judges our server in all its settings and the peers, and holds the outcome against what is expected.

    python -m ci.conformance.matrix [--quick] [--write] [NAME ...]

Ours has to pass every clause, each SHOULD too. A peer has to pass and fail what `expected.toml` says,
where each failure has its reason: a change in either direction, seen twice, is an error. `--write` writes
`docs/conformance.md` anew from that file; without it, a difference is an error as well. `--quick` judges
one of our servers on each transport, and no peer.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import trio

from caas_trio.conformance import Report, Verdict, judge
from caas_trio.conformance.clauses import OF_SERVICES
from caas_trio.conformance.reports import html
from caas_trio.core.endpoint import Endpoint
from ci.process import serving

from .expectations import Expected, load
from .legs import PEERS, Leg, one_for_each_transport, our_legs
from .rendering import as_html, as_markdown, kept

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "conformance.md"
BUILD = ROOT / "build" / "conformance"
#: Legs judged at a time: much of a run is waiting, for silence above all.
_AT_ONCE = 2 * (os.cpu_count() or 1) + 1
#: Seconds. Local servers answer in milliseconds; this is for a busy machine.
_OUR_TIMEOUT_S = 4.0
_PEER_TIMEOUT_S = 1.5


@dataclass(frozen=True)
class Outcome:
    """The result of a leg: the verdicts by clause, what is wrong in words, the page, the seconds."""

    leg: Leg
    clauses: dict[str, Verdict]
    faults: list[str]
    page: str
    seconds: float


def judged(leg: Leg, timeout_s: float) -> Outcome:
    """Judge a leg."""
    started = time.perf_counter()

    async def run() -> Report:
        async with serving(leg.command, leg.environment) as server:
            return await judge(
                Endpoint.parse(server.endpoint), leg.profile, timeout_s=timeout_s, jobs=leg.jobs
            )

    report = trio.run(run)
    faults = [
        f"{result.case.id} says of {fault.clause}: {fault.reason}"
        for result in report.results
        for fault in result.faults
    ]
    return Outcome(leg, report.clauses(), faults, html.as_html(report), time.perf_counter() - started)


def differences(clauses: dict[str, Verdict], expected: Expected) -> list[str]:
    """Return what is not as expected of a peer, a line each."""
    found = []
    for clause, verdict in clauses.items():
        wanted = expected.verdict(clause)
        if clause not in expected.unsteady and verdict is not wanted:
            found.append(f"{clause} was expected to be {wanted.value}, and is {verdict.value}")
    return found


def unkept(judged_of_ours: set[str]) -> list[str]:
    """Return what the matrix claims of our server and no leg has judged, a line each."""
    return [
        f"{clause.id} is said to be kept, and no leg of ours judges it"
        for clause in OF_SERVICES.values()
        if kept(clause) and clause.id not in judged_of_ours
    ]


def run(legs: Sequence[tuple[Leg, float]], expected: dict[str, Expected], *, complete: bool) -> list[str]:
    """Judge the legs, each in a process of its own; print a line for each, and return what is wrong."""
    wrong: list[str] = []
    passed: set[str] = set()
    doubtful: list[tuple[Leg, float]] = []
    for outcome in judge_all(legs, at_once=_AT_ONCE):
        peer = expected.get(outcome.leg.name)
        found = tell(outcome, peer)
        if peer is None:
            passed |= {clause for clause, verdict in outcome.clauses.items() if verdict is Verdict.PASSED}
            wrong += found
        elif found:
            doubtful.append((outcome.leg, _PEER_TIMEOUT_S))
    # What a peer makes of a busy machine is its own affair: it is judged once more, with nothing beside it.
    for outcome in judge_all(doubtful, at_once=1):
        wrong += tell(outcome, expected[outcome.leg.name])
    return wrong + (unkept(passed) if complete else [])


def judge_all(legs: Sequence[tuple[Leg, float]], at_once: int) -> Iterator[Outcome]:
    """Judge a number of legs at a time, first those that take one client at a time: they take longest."""
    slow_ones_first = sorted(legs, key=lambda each: each[0].jobs)
    with ProcessPoolExecutor(at_once) as pool:
        for future in as_completed([pool.submit(judged, *each) for each in slow_ones_first]):
            yield future.result()


def tell(outcome: Outcome, peer: Expected | None) -> list[str]:
    """Write a leg's page and print what came of it; return what is wrong, a line each."""
    name = outcome.leg.name
    page = BUILD / f"{''.join(letter if letter.isalnum() else '-' for letter in name)}.html"
    page.write_text(outcome.page, encoding="utf-8")
    found = outcome.faults if peer is None else differences(outcome.clauses, peer)
    counts = Counter(verdict.value for verdict in outcome.clauses.values())
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
    print(f"{'WRONG' if found else 'ok':<6} {name:<64} {outcome.seconds:5.1f} s  {summary}", flush=True)
    for line in found:
        print(f"       {line}; see {page}", flush=True)
    return [f"{name}: {line}" for line in found]


def absent(legs: Iterable[Leg]) -> list[str]:
    """Return the programs that are not installed."""
    return [leg.program for leg in legs if leg.program and shutil.which(leg.program) is None]


def documents(expected: dict[str, Expected], *, write: bool) -> list[str]:
    """Write the matrix as a page, and check or write the one in `docs`; return what is wrong."""
    (BUILD / "index.html").write_text(as_html(expected, OF_SERVICES), encoding="utf-8")
    text = as_markdown(expected, OF_SERVICES)
    if write:
        PAGE.write_text(text, encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != text:
        return [f"{PAGE.name} is not what expected.toml says: run this with --write"]
    return []


def main() -> int:
    """Run what the command line asks for; return the exit status."""
    names = [word for word in sys.argv[1:] if not word.startswith("-")]
    quick = "--quick" in sys.argv
    expected = load()
    missing = [] if quick else absent(PEERS)
    with tempfile.TemporaryDirectory() as folder:
        legs = our_legs(Path(folder))
        ours = [(leg, _OUR_TIMEOUT_S) for leg in (one_for_each_transport(legs) if quick else legs)]
        peers = [(leg, _PEER_TIMEOUT_S) for leg in PEERS if not quick and leg.program not in missing]
        chosen = [(leg, seconds) for leg, seconds in ours + peers if not names or leg.name in names]
        BUILD.mkdir(parents=True, exist_ok=True)
        wrong = run(chosen, expected, complete=not names and not quick)
    wrong += documents(expected, write="--write" in sys.argv)
    for program in missing:
        print(f"absent {program} is not installed, so its leg was not judged")
    if missing and os.environ.get("CI"):
        wrong.append(f"CI has to judge every peer: {', '.join(missing)} is not installed")
    print(f"{len(chosen)} servers judged; pages are in {BUILD}")
    print("\n".join(wrong) or "all as expected")
    return 1 if wrong or not chosen else 0


if __name__ == "__main__":
    sys.exit(main())
