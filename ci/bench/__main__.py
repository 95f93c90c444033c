"""The command line: `python -m ci.bench`, which is what `nox -s bench` runs."""

import secrets
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as RichTable

from ci.bench import load, machine, report
from ci.bench.check import check
from ci.bench.peers import PEERS
from ci.bench.plan import Job, plan
from ci.bench.results import Run
from ci.bench.run import Runner, Settings
from ci.bench.targets import TARGETS
from ci.bench.works import WORKS, Work

QUICK_BUDGET_SECONDS = 90
ENOUGH_ROUNDS = 5  # for figures worth publishing
BUILD = Path("build/bench")
PUBLISHED = Path("docs/benchmarks")


def _chosen(wanted: Sequence[str], known: Sequence[str], what: str) -> set[str]:
    """Return the known names that were asked for by name or by family; all without a wish."""
    if missing := [name for name in wanted if not any(k == name or k.startswith(f"{name}/") for k in known)]:
        raise click.UsageError(f"no {what} named {missing[0]!r}; --list names them")
    return {k for k in known if not wanted or any(k == name or k.startswith(f"{name}/") for name in wanted)}


def _list() -> None:
    for work in WORKS:
        click.echo(f"work  {work.name:20}  {work.title}")
    for peer in PEERS:
        click.echo(f"peer  {peer.name:20}  {' '.join(peer.command)}")


def _prepare(works: list[Work]) -> None:
    """Build and check the load generator, and allow many descriptors; end with one line if that cannot be."""
    if not sys.platform.startswith("linux"):
        raise click.ClickException("the benchmark needs Linux: epoll, /proc and pinning to a core")
    try:
        load.build(BUILD)
        if any(work.tls for work in works):
            load.build_tls(BUILD)
        check(BUILD / "load")
    except load.BenchError as error:
        raise click.ClickException(str(error)) from None
    load.raise_file_limit()


def _show(console: Console, runs: list[Run]) -> None:
    for table in [*report.tables(runs), report.targets_table(runs)]:
        if not table.rows:
            continue
        shown = RichTable(*table.head, title=table.title, title_justify="left", box=box.SIMPLE_HEAD)
        for column in shown.columns[1:]:
            column.justify = "right"
        for row in table.rows:
            shown.add_row(*row)
        console.print(shown)
    for remark in report.remarks(runs):
        console.print(remark, highlight=False)


def _measure(console: Console, jobs: list[Job], runner: Runner, deadline: float) -> list[Run]:
    """Run the jobs, with a progress line; stop at the deadline, and print how many are left out."""
    runs: list[Run] = []
    columns = (TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, refresh_per_second=2, transient=True) as progress:
        task = progress.add_task("", total=len(jobs))
        for job in jobs:
            if time.monotonic() > deadline:
                console.print(f"out of time: {len(jobs) - len(runs)} of {len(jobs)} runs left out")
                break
            progress.update(task, description=f"round {job.round + 1}  {job.work.name}  {job.name}")
            runs.append(runner.run(job))
            progress.advance(task)
    return runs


@click.command()
@click.option(
    "--only", multiple=True, metavar="WORK", help="This work, or family of works, alone; may be repeated."
)
@click.option("--peer", "wanted", multiple=True, metavar="NAME", help="This peer alone; may be repeated.")
@click.option(
    "--rounds", type=click.IntRange(1, 100), help="How often everybody does everything.  [default: 5]"
)
@click.option("--seconds", type=click.FloatRange(0.1, 60), help="How long each run measures.  [default: 1]")
@click.option("--quick", is_flag=True, help="One short round of those the targets name, within two minutes.")
@click.option("--seed", type=int, help="Repeat the order of an earlier run.")
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Where results go.  [default: {PUBLISHED} for a whole run, {BUILD} otherwise]",
)
@click.option("--list", "listing", is_flag=True, help="Name works and peers, and end.")
def main(
    *,
    only: tuple[str, ...],
    wanted: tuple[str, ...],
    rounds: int | None,
    seconds: float | None,
    quick: bool,
    seed: int | None,
    output: Path | None,
    listing: bool,
) -> None:
    """Compare line servers that do the same, side by side, under one load generator."""
    if listing:
        _list()
        return
    deadline = time.monotonic() + QUICK_BUDGET_SECONDS if quick else float("inf")
    works = _chosen(only, [work.name for work in WORKS], "work")
    peers = _chosen(wanted, [peer.name for peer in PEERS], "peer")
    if quick and not wanted:
        peers = {name for target in TARGETS for name in (target.subject, target.against) if name is not None}
    rounds = rounds or (1 if quick else ENOUGH_ROUNDS)
    seconds = seconds or (0.3 if quick else 1.0)
    seed = secrets.randbits(32) if seed is None else seed
    if output is None:
        output = PUBLISHED if not wanted and rounds >= ENOUGH_ROUNDS else BUILD
    _prepare([work for work in WORKS if work.name in works])
    server_core, load_core = machine.cores()
    about = {
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "seconds": seconds,
        "seed": seed,
        "machine": machine.describe(),
    }
    machine.pin(load_core)
    runner = Runner(Settings(seconds, seconds / 4, BUILD, server_core))
    chosen = ([work for work in WORKS if work.name in works], [peer for peer in PEERS if peer.name in peers])
    console = Console()
    if not console.is_terminal:
        console.width = 160
    if server_core == load_core:
        console.print("one core only: server and load share it, so throughput says little; CPU per line does")
    runs = _measure(console, list(plan(*chosen, rounds, seed)), runner, deadline)
    _show(console, runs)
    report.save(output, runs, about)
    (BUILD / "runs.json").write_text(report.as_json(runs, about))
    console.print(f"results: {output / 'results.md'}", highlight=False)


if __name__ == "__main__":
    main()
