"""Signals from the first moment to the last: held, handled, and ignored where they were ignored before."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
import trio

from caas_trio.__main__ import main
from caas_trio.program.signals import (
    Terminal,
    handle_signals,
    receive_signals,
    signals_held,
    stops_released,
)
from caas_trio.program.startup import (
    HANDLED,
    exit_on_stop,
    handled_signals,
    hold_signals,
)

from .support.processes import service
from .support.sockets import talk


@pytest.fixture
def signals_as_they_were() -> Iterator[None]:
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    handlers = {number: signal.getsignal(number) for number in HANDLED}
    yield
    for number, handler in handlers.items():
        signal.signal(number, signal.SIG_IGN)  # which discards what is pending
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def blocked() -> set[int]:
    return set(signal.pthread_sigmask(signal.SIG_BLOCK, []))


pytestmark = pytest.mark.usefixtures("signals_as_they_were")


def test_the_program_is_the_command_line() -> None:
    def run() -> NoReturn:
        sys.exit(7)

    with pytest.raises(SystemExit, match="7"):
        main(lambda: run)
    assert blocked() == {signal.SIGHUP}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_before_anything_is_served_is_an_exit_with_0(number: signal.Signals) -> None:
    statuses: list[int] = []
    exit_on_stop(statuses.append)
    signal.raise_signal(number)
    hold_signals()
    signal.raise_signal(number)
    assert statuses == [0]
    with stops_released():
        assert statuses == [0, 0]
        assert blocked() == {signal.SIGHUP}
    assert blocked() == set(HANDLED)


def test_sighup_during_startup_is_kept() -> None:
    exit_on_stop()
    signal.raise_signal(signal.SIGHUP)
    assert signal.sigpending() == {signal.SIGHUP}


def test_ignored_signals_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    exit_on_stop()
    assert handled_signals() == [signal.SIGTERM, signal.SIGHUP]
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


async def test_held_signals_are_delivered_first() -> None:
    hold_signals()
    signal.raise_signal(signal.SIGHUP)
    signal.raise_signal(signal.SIGHUP)
    with receive_signals() as signals:
        assert not blocked()
        assert await anext(signals) == signal.SIGHUP
        with trio.move_on_after(0.05) as nothing_more:
            await anext(signals)
        assert nothing_more.cancelled_caught
    assert blocked() == set(HANDLED)


async def test_when_all_signals_are_ignored_none_is_received() -> None:
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)
    with receive_signals() as signals:
        for number in HANDLED:
            signal.raise_signal(number)
        with trio.move_on_after(0.05) as nothing:
            await anext(signals)
        assert nothing.cancelled_caught


def test_signals_are_held_for_a_block() -> None:
    with signals_held():
        assert blocked() == set(HANDLED)
    assert not blocked()


@pytest.mark.parametrize(
    ("hung_up", "calls"),
    [(False, ["reload", "stop", "cut"]), (True, ["stop", "cut", "cut"])],
)
async def test_a_closed_terminal_is_a_stop(hung_up: bool, calls: list[str]) -> None:  # noqa: FBT001
    async def signals() -> AsyncIterator[int]:
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            yield number

    made: list[str] = []
    await handle_signals(
        signals(),
        reload=lambda: made.append("reload"),
        stop=lambda: made.append("stop"),
        cut=lambda: made.append("cut"),
        hung_up=lambda: hung_up,
    )
    assert made == calls


def test_without_a_terminal_none_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "tty"
    assert not Terminal(str(path)).is_lost()
    path.touch()
    terminal = Terminal(str(path))
    assert not terminal.is_lost()
    path.unlink()
    assert not terminal.is_lost()  # there may be other reasons why it cannot be opened
    with socket.socket(socket.AF_UNIX) as no_device:
        no_device.bind(str(path))  # and is refused with ENXIO
        assert terminal.is_lost()
        assert not Terminal(str(path)).is_lost()


@contextmanager
def starting(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Yield a service that has been started this moment."""
    command = [sys.executable, "-m", "caas_trio", *arguments, "tcp://127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_until_held(process: subprocess.Popen[str]) -> None:
    """Wait until it has had the time to do its first things.

    That SIGHUP is blocked does not say so alone: Python 3.15 blocks all signals for a moment as it starts.
    """
    status = Path(f"/proc/{process.pid}/status")
    while True:
        fields = dict(line.split(":\t", 1) for line in status.read_text().splitlines())
        blocked, caught = int(fields["SigBlk"], 16), int(fields["SigCgt"], 16)
        if blocked & 1 << signal.SIGHUP - 1 and caught & 1 << signal.SIGTERM - 1:
            return
        time.sleep(0.001)


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
@pytest.mark.slow
def test_sighup_while_starting_ends_nothing(arguments: tuple[str, ...]) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    with starting(*arguments) as process:
        wait_until_held(process)
        for _ in range(2):
            process.send_signal(signal.SIGHUP)
        assert process.stdout is not None
        assert process.stdout.readline().startswith("listening on ")
        process.terminate()
        _, told = process.communicate(timeout=30)
        assert process.returncode == 0
        assert "could not be reloaded" not in told
        assert "died" not in told


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_a_stop_while_starting_is_obeyed(arguments: tuple[str, ...]) -> None:
    with starting(*arguments) as process:
        wait_until_held(process)
        process.terminate()
        _, told = process.communicate(timeout=30)
        assert (process.returncode, told) == (0, "")


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
@pytest.mark.slow
def test_under_nohup_sighup_does_nothing(arguments: tuple[str, ...]) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    nohup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with service("--log-level", "info", *arguments) as running:
        signal.signal(signal.SIGHUP, nohup)
        with running.connect() as client:
            client.sendall(b"a\n")
            assert client.recv(10) == b"A\n"
            for _ in range(2):
                running.process.send_signal(signal.SIGHUP)
            client.sendall(b"b\n")
            assert client.recv(10) == b"B\n"
        status, told = running.stop()
        assert status == 0
        assert "reload" not in told


def test_a_service_whose_terminal_is_closed_drains() -> None:
    controller, terminal = pty.openpty()
    open_terminal = f"import os; os.close(os.open({os.ttyname(terminal)!r}, os.O_RDWR))"
    run = "import caas_trio.__main__, sys; sys.argv[1:] = ['tcp://127.0.0.1:0']; caas_trio.__main__.main()"
    command = [sys.executable, "-c", f"{open_terminal}; {run}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        os.close(terminal)
        assert process.stdout is not None
        address = process.stdout.readline().removeprefix("listening on tcp://").strip()
        host, _, port = address.rpartition(":")
        assert talk(socket.create_connection((host, int(port))), b"a\n") == b"A\n"
        os.close(controller)
        assert process.wait(timeout=30) == 0


#: The audit event comes before the lookup; trio first asks in its own thread whether it is an address.
BLOCKED_LOOKUP = """
import caas_trio.__main__, os, sys, threading
def block(event, arguments):
    if event == "socket.getaddrinfo" and threading.current_thread() is not threading.main_thread():
        os.write(1, b"asked\\n")  # no lock of a file object is held when the thread is cut off
        threading.Event().wait()
sys.addaudithook(block)
sys.argv[1:] = ["tcp://name.invalid:0", *sys.argv[1:]]
caas_trio.__main__.main()
"""


@pytest.mark.parametrize("arguments", [(), ("--workers", "2")], ids=["alone", "workers"])
def test_a_stop_does_not_wait_for_a_name_lookup(arguments: tuple[str, ...]) -> None:
    command = [sys.executable, "-c", BLOCKED_LOOKUP, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "asked\n"
            process.terminate()
            assert process.communicate(timeout=30) == ("", "")
            assert process.returncode == 0
        finally:
            process.kill()
