"""Prove that the harnesses bite: `python -m fuzz.proof [--seconds N] [--jobs N] [PART]...`.

Each bug of `planted/`, or with `--mutants` each of so many random mutants, goes into a copy of the package,
alone, and the harnesses that ought to find it run on that copy, until one does. Without a bug they have to
find nothing.

A mutant may have several harnesses: those that its module guides, and whose inputs call its function. The
seconds are the bug's and not the harness's: each harness has a short turn, in which most bugs are found, and
then an equal share of what is left, where it goes on with what it has found. So a missed bug costs these
seconds, and for each turn a second or two to start. What a harness cannot find in its share is missed.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Iterator
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
from .reach import functions_reached
from .targets import Target, targets

_CONTROL_S: Final = 2
#: The first turn of each of several harnesses.
_FIRST_S: Final = 5


class Outcome(NamedTuple):
    """The result for a bug, or for a harness without one.

    Attributes:
        harness: the one that was tried last.
        verdict: its verdict.
        seconds: how long all harnesses took so far.
        executions: how many inputs they ran.
        output: the last lines of the last one.
    """

    harness: str
    verdict: Verdict
    seconds: float
    executions: int
    output: list[str]


def able(bug: Bug, reached: dict[str, frozenset[str]]) -> list[str]:
    """Return the harnesses that a bug is for, without those whose inputs do not call its function.

    All, if none of them calls it: an input that does may be found yet.

    Args:
        bug: the bug.
        reached: what the inputs of each harness call, where that was measured.
    """
    names = [bug.harness, *bug.others]
    return [name for name in names if bug.function in reached.get(name, ())] or names


def turns(names: list[str], seconds: int) -> Iterator[tuple[str, int]]:
    """Yield whose turn it is, and for how long: `seconds` in all, or a second each if that is more."""
    share = max(1, seconds // len(names))
    first = min(_FIRST_S, share) if len(names) > 1 else share
    for length in filter(None, (first, share - first)):
        for name in names:
            yield name, length


async def hunt(bug: Bug | None, harnesses: Iterable[tuple[Target, int]], *, seeds: bool = True) -> Outcome:
    """Run harnesses on a copy of the package with a bug in it, until one fails or their time is up.

    Args:
        bug: the bug; None for the package as it is.
        harnesses: their turns, each with its seconds; in a second one, a harness goes on with its finds.
        seeds: whether they begin with their corpus, or with nothing.
    """
    with tempfile.TemporaryDirectory(prefix="planted-") as copy, tempfile.TemporaryDirectory() as found:
        plant(bug, Path(copy))
        executions, began = 0, trio.current_time()
        for target, seconds in harnesses:
            corpora = [_folder(found, target.name), *([str(target.corpus)] if seeds else [])]
            command = ["env", f"PYTHONPATH={copy}", *target.command, *corpora]
            progress = Progress()
            await watch(command, seconds, progress, trio.lowlevel.checkpoint, _without_keeping)
            executions += progress.executions
            if progress.verdict is not Verdict.CLEAN:
                break
        took = trio.current_time() - began
    return Outcome(target.name, progress.verdict, took, executions, progress.output)


def _folder(parent: str, name: str) -> str:
    folder = Path(parent, name)
    folder.mkdir(exist_ok=True)
    return str(folder)


def _without_keeping(artifact: Path) -> Crash:
    return Crash(artifact.name, "", "")


@click.command()
@click.argument("parts", nargs=-1)
@click.option(
    "--seconds",
    type=click.IntRange(1),
    default=60,
    show_default=True,
    help="For each bug, all its harnesses together.",
)
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
        self._reached: dict[str, frozenset[str]] = {}

    async def run(self, bugs: list[Bug]) -> None:
        """Hunt these bugs, and print what becomes of each; first, run their harnesses without a bug.

        Without a hunt if one of the harnesses fails by itself: nothing would be proved.
        """
        harnesses = sorted({name for bug in bugs for name in (bug.harness, *bug.others)})
        failed: list[str] = []
        await self._work(partial(self._control, name, failed) for name in harnesses)
        if not failed:
            shared = {name for bug in bugs if bug.others for name in (bug.harness, *bug.others)}
            await self._work(partial(self._measure, name) for name in sorted(shared))
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
        outcome = await hunt(None, [(self._harnesses[name], _CONTROL_S)])
        if outcome.verdict is not Verdict.CLEAN:
            failed.append(name)
            self._console.print("\n".join(outcome.output), markup=False)
            self._console.print(f"fuzz_{name} fails without a bug; nothing is proved")

    async def _measure(self, name: str) -> None:
        self._reached[name] = await functions_reached(self._harnesses[name])

    async def _hunt(self, bug: Bug) -> None:
        names = able(bug, self._reached)
        harnesses = [(self._harnesses[name], length) for name, length in turns(names, self._seconds)]
        outcome = self.outcomes[bug] = await hunt(bug, harnesses, seeds=self._seeds)
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
