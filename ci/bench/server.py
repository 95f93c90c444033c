"""A peer as a process: start it on its core, greet it, weigh it, end it."""

import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

import psutil

from ci.bench.peers import Peer

START_SECONDS = 15
STOP_SECONDS = 5
ROOT = Path(__file__).parents[2]


class AbsentError(Exception):
    """A peer that cannot be started here; the message says why, in one line."""


class Server:
    """A peer that runs.

    Attributes:
        endpoint: where it listens, port 0 resolved.
        pid: its process id.
    """

    def __init__(self, process: "subprocess.Popen[str]", endpoint: str) -> None:
        self._process = psutil.Process(process.pid)
        self.endpoint = endpoint
        self.pid = process.pid

    def _family(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far, by children as well; of those that ended, in steps of 10 ms."""
        own = self._process.cpu_times()
        lasting = sum(time.clock_gettime(_cpu_clock(process.pid)) for process in self._family())
        return lasting + own.children_user + own.children_system

    def memory(self) -> int:
        """Return the bytes of memory held, shared pages in proportion (PSS), without kernel buffers."""
        return sum(process.memory_full_info().pss for process in self._family())

    def greet(self) -> None:
        """Exchange one line, so that what is done once, on first use, is done.

        Raises:
            AbsentError: it does not answer as CaaS does.
        """
        family, address = where(self.endpoint)
        with socket.socket(family) as client:
            client.settimeout(START_SECONDS)
            try:
                client.connect(address)
                client.sendall(b"hello\n")
                answer = client.makefile("rb").readline()
            except OSError as error:
                raise AbsentError(f"does not answer: {error}") from None
        if answer != b"HELLO\n":
            raise AbsentError(f"answers {answer!r} to b'hello\\n'")


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's CPU time, as clock_getcpuclockid(3) does on Linux."""
    return ~pid << 3 | 2


def where(endpoint: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    """Return family and address of `tcp://IPV4:PORT` or `unix:PATH`, for `socket.connect`."""
    if endpoint.startswith("unix:"):
        return socket.AF_UNIX, endpoint.removeprefix("unix:")
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    return socket.AF_INET, (host, int(port))


def _first_line(process: "subprocess.Popen[str]") -> str:
    stdout = cast("IO[str]", process.stdout)  # a pipe
    with selectors.DefaultSelector() as selector:
        selector.register(stdout, selectors.EVENT_READ)
        if not selector.select(START_SECONDS):
            return ""
    return stdout.readline().strip()


def _end(process: "subprocess.Popen[str]") -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def running(peer: Peer, *, unix: bool, build: Path, core: int) -> Iterator[Server]:
    """Start `peer` on `core`; it is gone when the block ends.

    Raises:
        AbsentError: it cannot be started here.
    """
    with (
        tempfile.TemporaryDirectory(prefix="caas-bench-") as directory,
        tempfile.TemporaryFile("w+") as complaints,
    ):
        endpoint = f"unix:{directory}/socket" if unix else "tcp://127.0.0.1:0"
        places = {"python": sys.executable, "build": str(build), "endpoint": endpoint}
        command = [word.format_map(places) for word in peer.command]
        own = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})  # inherited, so the server never runs elsewhere
        try:
            process = subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=complaints, text=True
            )
        except OSError as error:
            raise AbsentError(f"{peer.command[0]}: {error.strerror}") from None
        finally:
            os.sched_setaffinity(0, own)
        with process:
            try:
                said = _first_line(process)
                if not said.startswith("listening on "):
                    raise AbsentError(_why(process, complaints.fileno()))
                server = Server(process, said.removeprefix("listening on "))
                server.greet()
                yield server
            finally:
                _end(process)


def _why(process: "subprocess.Popen[str]", complaints: int) -> str:
    """Return the last line the failed peer wrote to standard error."""
    deadline = time.monotonic() + 1
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)  # `wait` with a timeout would poll as well, and raise
    lines = os.pread(complaints, 1 << 16, 0).decode(errors="replace").strip().splitlines()
    return lines[-1].replace(sys.executable, "python") if lines else "it does not say that it listens"
