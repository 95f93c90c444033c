"""New code under load: deployments of an app whose reply changes, while fifty clients talk to it.

python -m ci.soak.deployments, which is what `nox -s deployments` runs.

No connection may be refused, no line may be left unanswered, and no client may see two versions on one
connection.
"""

import os
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
import trio

from caas_trio import Endpoint
from ci.soak.service import running

CLIENTS: Final = 50

#: How long (seconds) a client waits for anything.
_CLIENT_TIMEOUT_S: Final = 30

#: How many lines a client sends over a connection, and how long (seconds) it waits between two.
_LINES: Final = 20
_PAUSE_S: Final = 0.02

APP: Final = """\
VERSION = {version}


def app(line):
    return b"%d %b" % (VERSION, line)
"""


@dataclass
class Seen:
    """The observations of the clients.

    Attributes:
        connections: how many there were.
        lines: how many were answered.
        versions: how many connections had each version.
        faults: what was not as it has to be.
    """

    connections: int = 0
    lines: int = 0
    versions: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)


async def visit(endpoint: Endpoint, seen: Seen) -> None:
    """Talk over one connection, and hold each reply against its line."""
    async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
        versions = set()
        held = b""
        for number in range(_LINES):
            line = b"line %d\n" % number
            await client.send_all(line)
            while not held.endswith(b"\n"):
                chunk = await client.receive_some()
                if not chunk:
                    seen.faults["lines without a reply"] += 1
                    return
                held += chunk
            version, _, reply = held.partition(b" ")
            versions.add(int(version))
            seen.lines += 1
            if reply != line:
                seen.faults["wrong replies"] += 1
            held = b""
            await trio.sleep(_PAUSE_S)
        await client.send_eof()
        if await client.receive_some():
            seen.faults["more than was due"] += 1
    seen.connections += 1
    if len(versions) > 1:
        seen.faults["connections that saw two versions"] += 1
    seen.versions.update(versions)


async def come_and_go(endpoint: Endpoint, seen: Seen, over: trio.Event) -> None:
    """Visit again and again."""
    while not over.is_set():
        try:
            with trio.fail_after(_CLIENT_TIMEOUT_S):
                await visit(endpoint, seen)
        except (OSError, trio.BrokenResourceError, trio.TooSlowError) as error:
            seen.faults[f"{type(error).__name__}: {error}"] += 1


async def deploy(folder: Path, service_pid: int, endpoint: Endpoint, seconds: float, times: int) -> Seen:
    """Deploy `times` versions under load, within `seconds` if the machine is fast enough."""
    seen, over = Seen(), trio.Event()
    pause = seconds / (times + 1)
    async with trio.open_nursery() as nursery:
        for _ in range(CLIENTS):
            nursery.start_soon(come_and_go, endpoint, seen, over)
        for version in range(2, times + 2):
            due = trio.current_time() + pause
            (folder / "versioned.py").write_text(APP.format(version=version))
            os.kill(service_pid, signal.SIGHUP)
            with trio.move_on_after(_CLIENT_TIMEOUT_S):
                while version not in seen.versions:  # noqa: ASYNC110 - the clients do not say
                    await trio.sleep(_PAUSE_S)
            await trio.sleep_until(due)
        over.set()
    return seen


@click.command()
@click.option(
    "--seconds", default=60.0, show_default=True, help="How long it is to take; a slow machine needs longer."
)
@click.option("--times", default=10, show_default=True, help="How many versions are deployed meanwhile.")
def main(seconds: float, times: int) -> None:
    """Deploy new code under load, and judge what the clients saw."""
    with tempfile.TemporaryDirectory() as directory:
        folder = Path(directory)
        (folder / "versioned.py").write_text(APP.format(version=1))
        options = ["--app", "versioned:app", "--app-dir", directory, "--workers", "2"]
        with running(options, ["tcp"]) as service:
            begun = time.monotonic()
            endpoint = Endpoint.parse(service.endpoints[0])
            seen = trio.run(deploy, folder, service.process.pid, endpoint, seconds, times)
            took = time.monotonic() - begun
            status = service.stop()
    click.echo(f"{seen.connections} connections, {seen.lines} lines, {times} deployments in {took:.0f} s")
    click.echo("connections by version: " + " ".join(f"{v}:{n}" for v, n in sorted(seen.versions.items())))
    if len(seen.versions) < times + 1:
        seen.faults["versions that nobody saw"] += times + 1 - len(seen.versions)
    if status:
        seen.faults[f"exit status {status}"] += 1
    for fault, number in seen.faults.items():
        click.echo(f"FAULT {number} {fault}")
    sys.exit(1 if seen.faults else 0)


if __name__ == "__main__":
    main()
