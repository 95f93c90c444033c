"""Fuzz: `python -m fuzz.run [HARNESS]... [--seconds N] [--jobs N]`, or `property [NAME]...`."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from .job import Progress, Verdict, fuzz
from .targets import select

_REPORT_SECONDS = 10


@dataclass
class Run:
    """One harness in the table."""

    name: str
    start: Callable[[Progress], None]
    progress: Progress = field(default_factory=Progress)


def run_all(runs: list[Run], jobs: int, console: Console) -> bool:
    """Run them, `jobs` at a time, and show how they get on; return whether all were clean."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(run.start, run.progress) for run in runs]
        watch(runs, futures, console)
    for future in futures:
        future.result()
    console.print(table(runs))
    for run in runs:
        explain(run, console)
    return all(run.progress.verdict is Verdict.CLEAN for run in runs)


def watch(runs: list[Run], futures: list[Future[None]], console: Console) -> None:
    """Show a line for each running harness: in place on a terminal, now and then elsewhere."""
    if console.is_terminal:
        with Live(console=console, transient=True) as live:
            while not all(future.done() for future in futures):
                live.update("\n".join(lines(runs, futures)))
                time.sleep(0.25)
        return
    reported = time.monotonic()
    while not all(future.done() for future in futures):
        time.sleep(0.25)
        if time.monotonic() - reported >= _REPORT_SECONDS:
            reported = time.monotonic()
            console.print("\n".join(lines(runs, futures)), highlight=False, soft_wrap=True)


def lines(runs: list[Run], futures: list[Future[None]]) -> list[str]:
    """Return a line for each harness that is running."""
    return [line(run) for run, future in zip(runs, futures, strict=True) if future.running()]


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
        broken = progress.verdict is Verdict.BROKEN
        shown.add_row(
            run.name,
            f"{progress.executions:,}",
            f"{progress.rate:,}",
            str(progress.new),
            reach,
            "broken" if broken else str(len(progress.crashes)),
        )
    return shown


def explain(run: Run, console: Console) -> None:
    """Say what went wrong with a run, and how to see it again."""
    if run.progress.verdict is Verdict.CLEAN:
        return
    console.rule(run.name)
    console.print("\n".join(run.progress.output), markup=False, highlight=False)
    for crash in run.progress.crashes:
        console.print(
            f"{crash.kind}: {crash.where}\nreproduce: {crash.command}", markup=False, soft_wrap=True
        )


@click.command()
@click.argument("names", nargs=-1)
@click.option("--seconds", type=click.IntRange(1), default=60, show_default=True, help="For each harness.")
@click.option("--jobs", type=click.IntRange(1), default=1, show_default=True, help="Harnesses at a time.")
def main(names: tuple[str, ...], seconds: int, jobs: int) -> None:
    """Run harnesses, all by default; `property [NAME]...` runs properties of the test suite instead.

    Exits with 1 if one of them crashed. A failing input is minimized and saved with the regressions.
    """
    if importlib.util.find_spec("atheris") is None:
        raise click.ClickException("atheris is not installed; it has wheels for Linux and macOS on CPython")
    if names[:1] == ("property",):
        from .properties import runs_of_properties  # noqa: PLC0415 - needs pytest

        runs = [Run(name, start) for name, start in runs_of_properties(names[1:], seconds)]
        if not runs:
            raise click.UsageError(f"no property has {' or '.join(map(repr, names[1:]))} in its name")
    else:
        try:
            chosen = select(names)
        except KeyError as error:
            raise click.UsageError(f"there is no harness {error.args[0]!r}") from None
        runs = [Run(f"fuzz_{target.name}", partial(fuzz, target, seconds)) for target in chosen]
    if not run_all(runs, jobs, Console()):
        sys.exit(1)


if __name__ == "__main__":
    main()
