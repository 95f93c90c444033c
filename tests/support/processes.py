"""Servers as processes: started, spoken to and ended."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import IO, cast

import pytest

from caas_trio import Endpoint

from . import sockets

_PREFIX = "listening on "


class Service:
    """A server that runs in a process of its own.

    Attributes:
        process: the process; both its outputs are pipes of text.
        endpoints: where it listens, in the order in which it said so.
    """

    def __init__(self, process: subprocess.Popen[str], endpoints: list[Endpoint]) -> None:
        self.process = process
        self.endpoints = endpoints

    @property
    def stdout(self) -> IO[str]:
        """Its standard output, behind the lines that say where it listens."""
        return cast("IO[str]", self.process.stdout)

    @property
    def stderr(self) -> IO[str]:
        """Its standard error."""
        return cast("IO[str]", self.process.stderr)

    def connect(self, which: int = 0) -> socket.socket:
        """Return a connection to it; the caller closes it."""
        return sockets.connect(self.endpoints[which])

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and the rest of standard error."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and the rest of standard error."""
        _, errors = self.process.communicate(timeout=30)
        return self.process.returncode, errors

    def next_events(self, *wanted: str) -> list[dict[str, object]]:
        """Return the next event of each kind that is logged as JSON; several processes log in any order."""
        found: dict[str, dict[str, object]] = {}
        while set(wanted) - found.keys():
            event = json.loads(self.stderr.readline())
            found.setdefault(event["event"], event)
        return [found[event] for event in wanted]

    def wait_until_closed(self) -> None:
        """Wait until its first endpoint refuses connections."""
        with suppress(ConnectionError):
            while True:
                sockets.talk(self.connect())  # one at a time, or it has too many connections


@contextmanager
def started(
    command: list[str], *, listeners: int = 1, environment: Mapping[str, str] | None = None
) -> Iterator[Service]:
    """Run a server; yield it once it has said where it listens so often; kill it at the end."""
    with subprocess.Popen(
        command,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        service = Service(process, [])
        try:
            while len(service.endpoints) < listeners:
                line = service.stdout.readline()
                assert line, f"it has ended: {service.stderr.read()}"
                if line.startswith(_PREFIX):
                    service.endpoints.append(Endpoint.parse(line.removeprefix(_PREFIX).rstrip("\n")))
            yield service
        finally:
            process.kill()


@contextmanager
def service(
    *arguments: str,
    endpoints: tuple[str, ...] = ("tcp://127.0.0.1:0",),
    program: tuple[str, ...] = ("-m", "caas_trio"),
) -> Iterator[Service]:
    """Run `python -m caas_trio`; yield it once it listens; kill it at the end."""
    command = [sys.executable, *program, *endpoints, *arguments]
    with started(command, listeners=len(endpoints)) as running:
        yield running


@contextmanager
def never_reading(running: Service) -> Iterator[socket.socket]:
    """Yield a client that has sent much, reads nothing, and so keeps a drain from its end."""
    with running.connect() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(0.3)
        with pytest.raises(TimeoutError):
            client.sendall(b"never read\n" * 2_000_000)
        yield client
