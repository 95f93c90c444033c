"""`python -m ci.mutants`: try every mutant of core/, drivers/ and server/; report those that no test notices.

A mutant that lives has to be killed by a new test, or listed in `listed.toml` with the reason why nobody
could tell it from the right program. A run goes on where the one before it ended: what a test has noticed is
not tried again as long as the function stays the same, unless with `--all`. What lives and is not listed is
tried once more, for longer. With `--since REV` only the functions are tried that have changed since that
revision.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import nullcontext
from typing import Final, TypeAlias

from .listed import Key, Listed
from .making import BUILD, LAYERS, MADE, Mutant, modules, mutants_of
from .report import KILLED, Report
from .results import Results, alone
from .selection import tests_of
from .touched import functions_since
from .trying import Loop, Outcome

#: How many times as long the tests of a mutant are run before it is said to live.
_LONGER: Final = 8

#: Tries some mutants for so many seconds; returns pytest's status.
Try: TypeAlias = Callable[[Sequence[Mutant], float], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Try mutants, write the reports; return the exit status: 1 if one lives that is not listed."""
    options = parsed(arguments)
    with nullcontext() if options.report else alone(BUILD):
        return run(options)


def run(options: argparse.Namespace) -> int:
    """Do what the options say; return the exit status."""
    touched = None if options.since is None else functions_since(options.since)
    mutants = [
        mutant
        for module in chosen_modules(options, touched)
        for mutant in mutants_of(module, MADE)
        if touched is None or mutant.function in touched
    ]
    results = Results.load(BUILD / "results.json")
    status = 0 if options.report else try_all(mutants, results, options)
    report = Report.of(mutants, results.statuses(mutants), Listed.load(), touched)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "report.txt").write_text(report.text())
    (BUILD / "report.html").write_text(report.page())
    print(report.text(), end="")
    return status or (0 if report.passed else 1)


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options."""
    parser = argparse.ArgumentParser(prog="python -m ci.mutants", description=__doc__)
    parser.add_argument("--layer", action="append", choices=LAYERS, help="only this folder; may be repeated")
    parser.add_argument(
        "--module", action="append", help="only this module, such as core.framing; may be repeated"
    )
    parser.add_argument("--since", metavar="REV", help="try only what has changed since a revision")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument(
        "--seconds",
        type=float,
        default=5.0,
        help="up to how much of their time the tests of a mutant are run, the cheapest first (default: 5)",
    )
    parser.add_argument("--tests", nargs="+", metavar="FILE", help="run the tests of these files alone")
    parser.add_argument("--all", action="store_true", help="also what a test is known to notice")
    parser.add_argument("--report", action="store_true", help="report what earlier runs have found")
    return parser.parse_args(arguments)


def chosen_modules(options: argparse.Namespace, touched: Collection[str] | None) -> list[str]:
    """Return the modules that are to be tried."""
    chosen = [f"caas_trio.{name}" for name in options.module or ()] or modules(options.layer or LAYERS)
    if touched is None:
        return chosen
    return [module for module in chosen if any(name.startswith(f"{module}.") for name in touched)]


def try_all(mutants: Sequence[Mutant], results: Results, options: argparse.Namespace) -> int:
    """Try mutants, each by the tests of its layer; return pytest's status."""

    def try_each(chosen: Sequence[Mutant], seconds: float) -> int:
        for layer in LAYERS:
            of_layer = [mutant for mutant in chosen if mutant.module.split(".")[1] == layer]
            if of_layer and (status := try_layer(layer, of_layer, results, options, seconds)):
                return status
        return 0

    statuses = {} if options.all else results.statuses(mutants)
    left = [mutant for mutant in mutants if statuses.get(mutant.name) not in KILLED]
    return try_twice(left, results, Listed.load(), options.seconds, try_each)


def try_twice(
    mutants: Sequence[Mutant], results: Results, listed: Listed, seconds: float, try_each: Try
) -> int:
    """Try mutants, and those that live and are not listed once more, for longer; return pytest's status."""
    status = try_each(mutants, seconds)
    if status:
        return status
    statuses = results.statuses(mutants)
    lived = [
        mutant
        for mutant in mutants
        if statuses.get(mutant.name) not in KILLED and Key(mutant.function, mutant.change) not in listed.why
    ]
    return try_each(lived, _LONGER * seconds)


def try_layer(
    layer: str, chosen: Sequence[Mutant], results: Results, options: argparse.Namespace, seconds: float
) -> int:
    """Try mutants of one layer; return pytest's status."""
    began, tried = time.monotonic(), 0

    def found(mutant: Mutant, outcome: Outcome) -> None:
        nonlocal tried
        tried += 1
        results.add(mutant, outcome)
        if tried % 50 == 0 or tried == len(chosen):
            rate = tried / (time.monotonic() - began)
            print(f"{layer}: {tried} of {len(chosen)} mutants, {rate:.1f} a second", flush=True)

    loop = Loop(chosen, options.jobs, seconds, BUILD / "map", found)
    status = loop.run(options.tests or tests_of(layer))
    results.save()
    if status:
        print(f"{layer}: the run ended early, with pytest's status {status}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
