"""Prove that the harnesses bite: `python -m fuzz.proof [--seconds N] [--jobs N] [PART]...`.

Each bug of `planted/` goes into a copy of the package, alone, and the harness that ought to find it
runs on that copy. Without a bug the harness has to find nothing.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click
from rich.console import Console
from rich.table import Table

from .job import Crash, Progress, Verdict, watch
from .planted import BUGS, PACKAGE
from .planted.bug import Bug
from .targets import Target, targets

_CONTROL_SECONDS: Final = 2


class Outcome(NamedTuple):
    """What became of a bug, or of a harness without one."""

    verdict: Verdict
    seconds: float
    executions: int
    output: list[str]


def plant(bug: Bug | None, directory: Path) -> None:
    """Put a copy of the package into a directory, with a bug in it.

    Raises:
        ValueError: the bug does not apply.
    """
    shutil.copytree(PACKAGE, directory / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    if bug is not None:
        module = directory / PACKAGE.name / bug.module
        module.write_text(bug.applied(module.read_text()))


def hunt(seconds: int, target: Target, bug: Bug | None = None, *, seeds: bool = True) -> Outcome:
    """Run a harness on a copy of the package with a bug in it, until it fails or time is up."""
    progress = Progress()
    with tempfile.TemporaryDirectory() as copy, tempfile.TemporaryDirectory() as found:
        plant(bug, Path(copy))
        corpora = [found, str(target.corpus)] if seeds else [found]
        command = ["env", f"PYTHONPATH={copy}", *target.command, *corpora]
        began = time.monotonic()
        watch(command, seconds, progress, lambda: None, lambda path: Crash(path.name, "", ""))
        took = time.monotonic() - began
    return Outcome(progress.verdict, took, progress.executions, progress.output)


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True, help="For each bug.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Bugs at a time.")
@click.option("--seeds/--no-seeds", default=True, help="Begin with the corpus, or with nothing.")
def main(parts: tuple[str, ...], seconds: int, jobs: int, *, seeds: bool) -> None:
    """Plant bugs, all or those whose description or harness contains a PART, and hunt them.

    Exits with 1 if one was missed, or if a harness fails without a bug.
    """
    console = Console()
    chosen = [bug for bug in BUGS if not parts or any(part in f"{bug.harness} {bug.what}" for part in parts)]
    if not chosen:
        raise click.UsageError(f"no bug and no harness has {' or '.join(map(repr, parts))} in its name")
    for bug in chosen:  # an entry that no longer applies is to be known before hours are spent
        bug.applied((PACKAGE / bug.module).read_text())
    harnesses = {target.name: target for target in targets()}
    controls = [harnesses[name] for name in sorted({bug.harness for bug in chosen})]
    with ThreadPoolExecutor(jobs) as pool:
        for target, outcome in zip(
            controls, pool.map(partial(hunt, _CONTROL_SECONDS), controls), strict=True
        ):
            if outcome.verdict is not Verdict.CLEAN:
                console.print("\n".join(outcome.output), markup=False)
                raise click.ClickException(f"fuzz_{target.name} fails without a bug; nothing is proved")
        console.print(f"without a bug, {len(controls)} harnesses find nothing")
        hunts = pool.map(lambda bug: hunt(seconds, harnesses[bug.harness], bug, seeds=seeds), chosen)
        outcomes = []
        for bug, outcome in zip(chosen, hunts, strict=True):
            outcomes.append(outcome)
            console.print(
                f"{result(outcome):>9}  fuzz_{bug.harness}: {bug.what}", highlight=False, soft_wrap=True
            )
    console.print(table(chosen, outcomes))
    found = sum(outcome.verdict is Verdict.CRASHED for outcome in outcomes)
    console.print(f"{found} of {len(chosen)} found")
    if found < len(chosen):
        sys.exit(1)


def result(outcome: Outcome) -> str:
    """Return what became of a bug, in a word."""
    match outcome.verdict:
        case Verdict.CRASHED:
            return f"{outcome.seconds:.1f} s"
        case Verdict.CLEAN:
            return "MISSED"
        case _:
            return "BROKEN"


def table(bugs: list[Bug], outcomes: list[Outcome]) -> Table:
    """Return the table at the end."""
    shown = Table("bug", "harness")
    shown.add_column("runs", justify="right")
    shown.add_column("found after", justify="right")
    for bug, outcome in zip(bugs, outcomes, strict=True):
        shown.add_row(bug.what, f"fuzz_{bug.harness}", f"{outcome.executions:,}", result(outcome))
    return shown


if __name__ == "__main__":
    main()
