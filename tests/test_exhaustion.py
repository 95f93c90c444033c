"""A process that runs out of descriptors: clients it cannot serve get an error line, and it serves on."""

from __future__ import annotations

import resource
import socket
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from .support.processes import Service, started

CLIENTS = 150
REFUSAL = b"error: too many connections\n"


@pytest.fixture(params=["hub", "stream"])
def driver(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def service(driver: str, descriptors: int) -> Iterator[Service]:
    """Run the service with a limited number of descriptors to begin with."""
    limited = ["/bin/sh", "-c", f'ulimit -n {descriptors} && exec "$@"', "sh"]
    command = [*limited, sys.executable, "-m", "caas_trio", "tcp://127.0.0.1:0"]
    with started(command, environment={"CAAS_TRIO_DRIVER": driver}) as running:
        yield running


def receive_line(client: socket.socket) -> bytes:
    with client.makefile("rb") as lines:
        return lines.readline()


def flood(running: Service) -> Counter[bytes]:
    """Connect more clients than can be served, all at once; return what they heard, then leave."""
    heard: Counter[bytes] = Counter()
    with ExitStack() as opened:
        clients = [opened.enter_context(running.connect()) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(b"a\n")
            heard[receive_line(client)] += 1
    return heard


def served_again(running: Service) -> bool:
    """Return whether a client is served, as soon as the server has noticed that others have left."""
    for _ in range(CLIENTS):
        with running.connect() as client:
            client.sendall(b"a\n")
            if receive_line(client) == b"A\n":
                return True
    return False


@pytest.mark.slow
def test_the_limit_on_descriptors_lowers_the_number_of_connections(driver: str) -> None:
    """Slow: two floods of clients."""
    with service(driver, 64) as running:
        assert flood(running) == {b"A\n": 16, REFUSAL: CLIENTS - 16}
        assert served_again(running)
        assert set(flood(running)) == {b"A\n", REFUSAL}
        status, told = running.stop()
    assert status == 0
    # One line for the first of the flood, one in the end for all the others.
    assert told.count("\n") == 2
    assert told.count("connection refused") == told.count("reason='too many connections'") == 2


@pytest.mark.skipif(sys.platform != "linux", reason="prlimit(2) is Linux's")
def test_without_descriptors_clients_get_an_error_line_until_it_recovers(driver: str) -> None:
    with service(driver, 512) as running:
        # What it counts on at the start is taken away from it: accept(2) itself runs out.
        process = running.process.pid
        used = len(list(Path(f"/proc/{process}/fd").iterdir()))
        resource.prlimit(process, resource.RLIMIT_NOFILE, (used + 20, 512))
        assert flood(running) == {b"A\n": 20, REFUSAL: CLIENTS - 20}
        assert served_again(running)
        assert set(flood(running)) == {b"A\n", REFUSAL}
        status, told = running.stop()
    assert status == 0
    assert told.count("\n") == 2
    assert told.count("no room for another connection") == 2
