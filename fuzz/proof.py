"""Prove that the harnesses bite: `python -m fuzz.proof [--seconds N] [--jobs N] [PART]...`.

Each bug of `planted/`, or with `--mutants` each of so many random mutants, goes into a copy of the package,
alone, and the harnesses that ought to find it run on that copy, until one does. Without a bug they have to
find nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import click
import trio
from rich.console import Console
from rich.table import Table

from .interrupt import until_signalled
from .job import Crash, Progress, Verdict, watch
from .planted import BUGS, PACKAGE, plant
from .planted.bug import Bug
from .targets import Target, targets

_CONTROL_S: Final = 2


class Outcome(NamedTuple):
    """The result for a bug, or for a harness without one; that of the last harness that was tried."""

    harness: str
    verdict: Verdict
    seconds: float
    executions: int
    output: list[str]


async def hunt(seconds: int, target: Target, bug: Bug | None = None, *, seeds: bool = True) -> Outcome:
    """Run a harness on a copy of the package with a bug in it, until it fails or time is up."""
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix="planted-") as copy, tempfile.TemporaryDirectory() as found:
        plant(bug, Path(copy))
        corpora = [found, str(target.corpus)] if seeds else [found]
        command = ["env", f"PYTHONPATH={copy}", *target.command, *corpora]
        began = trio.current_time()
        await watch(command, seconds, progress, trio.lowlevel.checkpoint, _without_keeping)
        took = trio.current_time() - began
    return Outcome(target.name, progress.verdict, took, progress.executions, progress.output)


def _without_keeping(artifact: Path) -> Crash:
    return Crash(artifact.name, "", "")


@click.command()
@click.argument("parts", nargs=-1)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True, help="For each bug.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Bugs at a time.")
@click.option("--seeds/--no-seeds", default=True, help="Begin with the corpus, or with nothing.")
@click.option("--mutants", type=click.IntRange(1), help="In their place, so many random mutants.")
@click.option("--seed", type=int, default=1, show_default=True, help="Which mutants.")
def main(
    parts: tuple[str, ...], seconds: int, jobs: int, mutants: int | None, seed: int, *, seeds: bool
) -> None:
    """Plant bugs, all or those whose description or harness contains a PART, and hunt them.

    Exits with 1 if one was missed, or if a harness fails without a bug; with 130 after Ctrl-C.
    """
    console = Console()

    def is_wanted(harness: str, what: str) -> bool:
        return not parts or any(part in f"{harness} {what}" for part in parts)

    if mutants is None:
        chosen = [bug for bug in BUGS if is_wanted(bug.harness, bug.what)]
    else:
        from .mutants import sample  # noqa: PLC0415 - needs mutmut

        chosen = sample(mutants, seed, is_wanted)
    if not chosen:
        raise click.UsageError(f"no bug and no harness has {' or '.join(map(repr, parts))} in its name")
    for bug in chosen:  # an entry that no longer applies is to be known before hours are spent
        bug.applied((PACKAGE / bug.module).read_text())
    proof = Proof(seconds, jobs, console, seeds=seeds)
    status = trio.run(until_signalled, partial(proof.run, chosen))
    console.print(table(proof.outcomes))
    found = sum(outcome.verdict is Verdict.CRASHED for outcome in proof.outcomes.values())
    broken = sum(outcome.verdict is Verdict.BROKEN for outcome in proof.outcomes.values())
    told = f"; {broken} let their harness not even start" if broken else ""
    console.print(f"{found} of {len(chosen)} found{told}")
    sys.exit(status or int(found < len(chosen)))


class Proof:
    """Hunts of many bugs, a few at a time.

    Attributes:
        outcomes: what has become of the bugs so far.
    """

    def __init__(self, seconds: int, jobs: int, console: Console, *, seeds: bool) -> None:
        self.outcomes: dict[Bug, Outcome] = {}
        self._seconds = seconds
        self._jobs = jobs
        self._console = console
        self._seeds = seeds
        self._harnesses = {target.name: target for target in targets()}

    async def run(self, bugs: list[Bug]) -> None:
        """Hunt these bugs, and print what becomes of each; first, run their harnesses without a bug.

        Without a hunt if one of the harnesses fails by itself: nothing would be proved.
        """
        harnesses = sorted({name for bug in bugs for name in (bug.harness, *bug.others)})
        failed: list[str] = []
        await self._work(partial(self._control, name, failed) for name in harnesses)
        if not failed:
            self._console.print(f"without a bug, {len(harnesses)} harnesses find nothing")
            await self._work(partial(self._hunt, bug) for bug in bugs)

    async def _work(self, works: Iterable[Callable[[], Awaitable[None]]]) -> None:
        queue = iter(works)

        async def work() -> None:
            for each in queue:
                await each()

        async with trio.open_nursery() as nursery:
            for _ in range(self._jobs):
                nursery.start_soon(work)

    async def _control(self, name: str, failed: list[str]) -> None:
        outcome = await hunt(_CONTROL_S, self._harnesses[name])
        if outcome.verdict is not Verdict.CLEAN:
            failed.append(name)
            self._console.print("\n".join(outcome.output), markup=False)
            self._console.print(f"fuzz_{name} fails without a bug; nothing is proved")

    async def _hunt(self, bug: Bug) -> None:
        for name in (bug.harness, *bug.others):
            outcome = await hunt(self._seconds, self._harnesses[name], bug, seeds=self._seeds)
            self.outcomes[bug] = outcome
            if outcome.verdict is not Verdict.CLEAN:
                break
        line = f"{result(outcome):>9} {outcome.executions:>9,} runs  fuzz_{outcome.harness}: {bug.what}"
        self._console.print(line, highlight=False, soft_wrap=True)
        if outcome.verdict is Verdict.BROKEN:
            self._console.print("\n".join(outcome.output), markup=False, highlight=False)


def result(outcome: Outcome) -> str:
    """Return what became of a bug, in a word."""
    match outcome.verdict:
        case Verdict.CRASHED:
            return f"{outcome.seconds:.1f} s"
        case Verdict.CLEAN:
            return "MISSED"
        case _:
            return "BROKEN"


def table(outcomes: dict[Bug, Outcome]) -> Table:
    """Return the table at the end."""
    shown = Table("bug", "harness")
    shown.add_column("runs", justify="right")
    shown.add_column("found after", justify="right")
    for bug, outcome in outcomes.items():
        shown.add_row(bug.what, f"fuzz_{outcome.harness}", f"{outcome.executions:,}", result(outcome))
    return shown


if __name__ == "__main__":
    main()
