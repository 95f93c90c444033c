"""`python -m ci.mutants`: try every mutant of core/, drivers/ and server/; report those that no test notices.

A mutant that lives has to be killed by a new test, or listed in `listed.toml` with the reason why nobody
could tell it from the right program. A run that was interrupted is resumed. With `--since REV` only the
functions are tried that have changed since that revision.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from . import results
from .listed import Key, Listed
from .report import Report
from .touched import LAYERS, patterns_since

BUILD: Final = Path("build/mutants")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try mutants, write the reports; return the exit status: 1 if one lives that is not listed."""
    parser = argparse.ArgumentParser(prog="python -m ci.mutants", description=__doc__)
    parser.add_argument("--layer", action="append", choices=LAYERS, help="only this folder; may be repeated")
    parser.add_argument("--since", metavar="REV", help="try only what has changed since a revision")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at once")
    parser.add_argument("--report", action="store_true", help="report what earlier runs have found")
    options = parser.parse_args(arguments)
    patterns = [f"caas_trio.{layer}.*" for layer in options.layer or ()]
    if options.since is not None:
        patterns = patterns_since(options.since)
        if not patterns:
            print(f"no function has changed since {options.since}")
            return 0
    if not options.report:
        results.run(patterns, options.jobs)
    report = examine(results.all_mutants(), Listed.load(), results.change_of, whole=not patterns)
    BUILD.mkdir(parents=True, exist_ok=True)
    (BUILD / "report.txt").write_text(report.text())
    (BUILD / "report.html").write_text(report.page())
    print(report.text(), end="")
    return 0 if report.passed else 1


def examine(
    mutants: Sequence[results.Mutant],
    listed: Listed,
    change_of: Callable[[results.Mutant], results.Change],
    *,
    whole: bool,
) -> Report:
    """Return the report; only where all mutants have been tried can what is listed be stale."""
    report = Report()
    for mutant in mutants:
        lives = mutant.status not in results.KILLED | results.UNTRIED
        key = Key(mutant.function, change_of(mutant)) if lives else None
        report.count(mutant, key, listed=key is not None and listed.allows(key))
    if whole:
        report.stale = listed.stale()
    return report


if __name__ == "__main__":
    sys.exit(main())
