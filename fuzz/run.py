"""Fuzz: `python -m fuzz.run [HARNESS]... [--seconds N] [--jobs N]`, or `property [NAME]...`."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import click
import trio
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .interrupt import until_signalled
from .job import Progress, Verdict, fuzz
from .targets import select

#: How often a line per harness is shown: on a terminal, in place; elsewhere.
_LIVE_INTERVAL_S: Final = 0.25
_REPORT_INTERVAL_S: Final = 10


@dataclass
class Run:
    """One harness in the table."""

    name: str
    start: Callable[[Progress], Awaitable[None]]
    progress: Progress = field(default_factory=Progress)


def run_all(runs: list[Run], jobs: int, console: Console) -> int:
    """Run them, `jobs` at a time, show how they get on, and print a table of how they ended.

    SIGINT and SIGTERM kill what is running and end it all.

    Returns:
        An exit status: 0 if all were clean, 1 if not, and 128 plus its number for a signal.
    """
    status = trio.run(until_signalled, partial(_run_all, runs, jobs, console))
    console.print(table(runs))
    for run in runs:
        explain(run, console)
    return status or int(any(run.progress.verdict is not Verdict.CLEAN for run in runs))


async def _run_all(runs: list[Run], jobs: int, console: Console) -> None:
    queue = iter(runs)

    async def work() -> None:
        for run in queue:
            await run.start(run.progress)

    async with trio.open_nursery() as showing:
        showing.start_soon(show, runs, console)
        async with trio.open_nursery() as nursery:
            for _ in range(jobs):
                nursery.start_soon(work)
        showing.cancel_scope.cancel()


async def show(runs: list[Run], console: Console) -> None:
    """Show a line for each running harness: in place on a terminal, now and then elsewhere."""
    live = Live(console=console, transient=True) if console.is_terminal else None
    with live or nullcontext():
        while True:
            await trio.sleep(_LIVE_INTERVAL_S if live else _REPORT_INTERVAL_S)
            lines = "\n".join(line(run) for run in runs if run.progress.verdict is Verdict.RUNNING)
            if live:
                live.update(lines)
            else:
                console.print(lines, highlight=False, soft_wrap=True)


def line(run: Run) -> str:
    """Return how far a run is: executions, rate, corpus, and the lines of its modules reached."""
    progress = run.progress
    reach = f"{progress.reach.line_percentage:.1f} % of lines" if progress.reach else ""
    return (
        f"{run.name:24} {progress.executions:>11,} runs {progress.rate:>7,}/s  "
        f"corpus {progress.corpus:>5}  {reach}"
    )


def table(runs: list[Run]) -> Table:
    """Return the table at the end."""
    shown = Table()
    shown.add_column("harness")
    for heading in ("runs", "runs/s", "new inputs", "branches", "crashes"):
        shown.add_column(heading, justify="right")
    for run in runs:
        progress = run.progress
        reach = f"{progress.reach.branch_percentage:.1f} %" if progress.reach else "-"
        ended = progress.verdict in {Verdict.CLEAN, Verdict.CRASHED}
        shown.add_row(
            run.name,
            f"{progress.executions:,}",
            f"{progress.rate:,}",
            str(progress.new),
            reach,
            str(len(progress.crashes)) if ended else progress.verdict.value,
        )
    return shown


def explain(run: Run, console: Console) -> None:
    """Print what went wrong with a run, each group of failures once, and how to reproduce it."""
    if run.progress.verdict not in {Verdict.BROKEN, Verdict.CRASHED}:
        return
    console.rule(run.name)
    crashes = run.progress.crashes
    if not all(crash.group for crash in crashes) or not crashes:
        console.print("\n".join(run.progress.output), markup=False, highlight=False)
    for crash in crashes:
        told = [crash.shown, f"{crash.count} times: {crash.group}"] if crash.group else []
        told += [f"{crash.kind}: {crash.where}", f"reproduce: {crash.command}"]
        console.print("\n".join(told), markup=False, highlight=False, soft_wrap=True)


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True, help="For each harness.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Harnesses at a time.")
@click.option(
    "--seed", type=click.IntRange(1), help="Of the harnesses' mutations; another each time by default."
)
def main(names: tuple[str, ...], seconds: int, jobs: int, seed: int | None) -> None:
    """Run harnesses, all by default; `property [NAME]...` runs properties of the test suite instead.

    Exits with 1 if one of them crashed or could not run, and with 130 after Ctrl-C. A failing input is
    minimized and saved with the regressions.
    """
    if importlib.util.find_spec("atheris") is None:
        raise click.ClickException("atheris is not installed; it has wheels for Linux and macOS on CPython")
    if names[:1] == ("property",):
        from .properties import runs_of_properties  # noqa: PLC0415 - needs pytest

        runs = [Run(name, start) for name, start in runs_of_properties(names[1:], seconds)]
        if not runs:
            raise click.UsageError(f"no property has {' or '.join(map(repr, names[1:]))} in its name")
    else:
        runs = [
            Run(f"fuzz_{target.name}", partial(fuzz, target, seconds, seed=seed)) for target in select(names)
        ]
    sys.exit(run_all(runs, jobs, Console()))


if __name__ == "__main__":
    main()
