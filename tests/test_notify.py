"""The messages to the service manager, on a socket of our own in its place."""

from __future__ import annotations

import math
import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from caas_trio.program.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """Return a manager's address, and its socket."""
    address = f"{tmp_path}/notify" if request.param == "path" else f"@{tmp_path.name}{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address.replace("@", "\0"))
        sock.settimeout(0)
        yield address, sock


def test_each_state_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    address, sock = manager
    notifier = Notifier(address)
    notifier.ready()
    notifier.alive()
    notifier.stopping()
    assert [sock.recv(100) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"STOPPING=1"]


def test_a_reload_has_its_timestamp(manager: tuple[str, socket.socket]) -> None:
    address, sock = manager
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with Notifier(address).reloading():
        after = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    told = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", sock.recv(100))
    assert told
    assert before <= int(told[1]) <= after
    assert sock.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/notify", "@nobody there", "vsock:2:1234", "x" * 200])
def test_without_a_manager_nothing_happens(address: str) -> None:
    notifier = Notifier(address)
    notifier.ready()
    assert notifier.watchdog_interval == math.inf


def test_the_variables_are_removed() -> None:
    environment = {
        "NOTIFY_SOCKET": "@a",
        "WATCHDOG_USEC": "3000000",
        "WATCHDOG_PID": str(os.getpid()),
        "A": "B",
    }
    assert Notifier.from_environment(environment).watchdog_interval == 1.5
    assert environment == {"A": "B"}
    assert Notifier.from_environment(environment).watchdog_interval == math.inf


@pytest.mark.parametrize(
    ("microseconds", "pid", "watchdog"),
    [
        ("2000000", "", 1),
        ("2000000", "1", math.inf),
        ("0", "", math.inf),
        ("-2000000", "", math.inf),
        ("2 s", "", math.inf),
        ("²", "", math.inf),
    ],
)
def test_the_watchdog_interval_is_half_of_what_systemd_asks(
    microseconds: str, pid: str, watchdog: float
) -> None:
    environment = {"WATCHDOG_USEC": microseconds, "WATCHDOG_PID": pid}
    assert Notifier.from_environment(environment).watchdog_interval == watchdog
