"""The command line: `python -m ci.soak`, which is what `nox -s soak` runs."""

import json
import sys
from pathlib import Path

import click
from rich import box
from rich.console import Console
from rich.table import Table

from caas_trio import Oversize
from ci.bench import load
from ci.bench.results import number
from ci.soak import mix
from ci.soak.service import end_as_by_ctrl_c

BUILD = Path("build/soak")
SHOWN = 8  # faults; the others are in the file


@click.command()
@click.option("--seconds", type=click.FloatRange(1), default=1200, show_default=True, help="How long.")
@click.option("--workers", type=click.IntRange(1), default=1, show_default=True, help="Processes that serve.")
@click.option(
    "--endpoint",
    "endpoints",
    type=click.Choice(["tcp", "unix"]),
    multiple=True,
    default=("tcp", "unix"),
    show_default=True,
    help="Where; may be repeated.",
)
@click.option(
    "--oversize",
    "policies",
    type=click.Choice([policy.value for policy in Oversize]),
    multiple=True,
    default=[policy.value for policy in Oversize],
    show_default=True,
    help="The policy of a service; each that is named gets one, side by side.",
)
def main(*, seconds: float, workers: int, endpoints: tuple[str, ...], policies: tuple[str, ...]) -> None:
    """Load the service fully, with clients good and bad, and hold it to what it has to keep."""
    end_as_by_ctrl_c()
    load.build(BUILD)
    load.raise_file_limit()
    services = mix.soak([Oversize(each) for each in policies], endpoints, workers, seconds, BUILD / "load")
    metrics = [each.metrics() for each in services]
    table = Table("", *(each.policy.value for each in services), box=box.SIMPLE_HEAD)
    for name in metrics[0]:
        table.add_row(name, *(number(each[name]) for each in metrics))
    Console().print(table)
    (BUILD / "soak.json").write_text(json.dumps(mix.as_json(services), indent=1))
    for each in services:
        for fault in each.ledger.faults[:SHOWN]:
            click.echo(f"{each.policy.value}: {fault[:300]}")
    if any(each.ledger.faulty for each in services):
        sys.exit(1)


if __name__ == "__main__":
    main()
