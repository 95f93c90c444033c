"""A peer as a process: start it on its core, greet it, weigh it, end it."""

import os
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ci.bench.load import CERTIFICATE
from ci.bench.peers import Peer
from ci.process import ServerProcess, StartError, start

GREETING_TIMEOUT_S = 15
ROOT = Path(__file__).parents[2]


class AbsentError(Exception):
    """A peer that cannot be started here; the message says why, in one line."""


class RunningPeer:
    """A peer that runs.

    Attributes:
        endpoint: where it listens, port 0 resolved.
        pid: its process id.
    """

    def __init__(self, server: ServerProcess, greeting: tuple[bytes, bytes]) -> None:
        self._greeting = greeting
        self.endpoint = server.endpoint
        self.pid = server.process.pid
        self._process = psutil.Process(self.pid)

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
            AbsentError: it does not answer as it should.
        """
        line, wanted = self._greeting
        family, address = where(self.endpoint)
        with socket.socket(family) as plain:
            plain.settimeout(GREETING_TIMEOUT_S)
            try:
                plain.connect(address)
                with _secured(plain) if self.endpoint.startswith("tls://") else plain as client:
                    client.sendall(line)
                    answer = client.makefile("rb").readline()
            except OSError as error:
                raise AbsentError(f"does not answer: {error}") from None
        if answer != wanted:
            raise AbsentError(f"answers {answer!r} to {line!r}")


def _secured(plain: socket.socket) -> ssl.SSLSocket:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # it is our own, of a minute ago
    return context.wrap_socket(plain)


def _cpu_clock(pid: int) -> int:
    """Return the clock of a process's CPU time, as clock_getcpuclockid(3) does on Linux."""
    return ~pid << 3 | 2


def where(endpoint: str) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    """Return family and address of `tcp://IPV4:PORT`, `tls:` or `unix:`, for `socket.connect`."""
    if endpoint.startswith("unix:"):
        return socket.AF_UNIX, endpoint.removeprefix("unix:")
    host, _, port = endpoint.partition("://")[2].rpartition(":")
    return socket.AF_INET, (host, int(port))


@contextmanager
def running(peer: Peer, *, unix: bool, tls: bool, build: Path, core: int) -> Iterator[RunningPeer]:
    """Start `peer` on `core`; it is gone when the block ends.

    Raises:
        AbsentError: it cannot be started here.
    """
    with tempfile.TemporaryDirectory(prefix="caas-bench-") as directory:
        endpoint = f"unix:{directory}/socket" if unix else f"{'tls' if tls else 'tcp'}://127.0.0.1:0"
        certificate = str((build / CERTIFICATE).resolve())
        places = {
            "python": sys.executable,
            "build": str(build),
            "endpoint": endpoint,
            "certificate": certificate,
        }
        environment = {"CAAS_TRIO_TLS_CERT": certificate} if tls else {}
        with _started([word.format_map(places) for word in peer.command], core, environment) as server:
            running = RunningPeer(server, peer.greeting)
            running.greet()
            yield running


def _started(command: list[str], core: int, environment: dict[str, str]) -> ServerProcess:
    own = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})  # inherited, so the server never runs elsewhere
    try:
        return start(command, folder=ROOT, environment=environment)
    except StartError as error:
        raise AbsentError(str(error).replace(sys.executable, "python")) from None
    finally:
        os.sched_setaffinity(0, own)
