"""`caas_trio.run`: a script that serves until a signal, in processes and in this one."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

import caas_trio
from caas_trio import App, Certificates, Endpoint, Limits, Telemetry, Trust

from .certificates import write_files
from .support.processes import started
from .support.sockets import connect

HEAD = """\
import sys, trio
from contextlib import asynccontextmanager
import caas_trio

async def shout(connection):
    async for line in connection:
        await connection.send(line.upper())
"""


@contextmanager
def script(text: str, *arguments: str) -> Iterator[tuple[subprocess.Popen[str], Endpoint]]:
    """Run a script that serves; give the process and where it serves."""
    command = [sys.executable, "-c", HEAD + text, *arguments]
    with started(command) as running:
        yield running.process, running.endpoints[0]


def ask(client: socket.socket, line: bytes) -> bytes:
    client.sendall(line)
    return client.recv(100)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains(number: int) -> None:
    text = """
@asynccontextmanager
async def app():
    yield shout
    print("left", flush=True)

caas_trio.run(app, "tcp://127.0.0.1:0")
print("over")
"""
    with script(text) as (process, endpoint), connect(endpoint) as client:
        assert ask(client, b"a\n") == b"A\n"
        process.send_signal(number)
        assert client.recv(100) == b""
        client.close()  # or the server lingers
        assert process.communicate(timeout=30) == ("left\nover\n", "")
        assert process.returncode == 0


def test_a_second_signal_ends_it_at_once() -> None:
    text = """
async def stubborn(connection):
    async for line in connection:
        await connection.send(line)
    await trio.sleep_forever()

limits = caas_trio.Limits(drain_timeout=1000)
caas_trio.run(stubborn, "tcp://127.0.0.1:0", limits=limits, telemetry=caas_trio.Telemetry())
"""
    with script(text) as (process, endpoint), connect(endpoint) as client:
        assert ask(client, b"a\n") == b"a\n"
        process.send_signal(signal.SIGTERM)
        while process.poll() is None:
            try:
                connect(endpoint).close()
            except OSError:
                break
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=30) == ("", "")
        assert process.returncode == 0


def test_a_handlers_bug_is_logged_and_affects_no_other_client() -> None:
    text = """
async def fragile(connection):
    async for line in connection:
        await connection.send(b"%d\\n" % (1 / int(line)))

caas_trio.run(fragile, "tcp://127.0.0.1:0")
"""
    with script(text) as (process, endpoint), connect(endpoint) as other:
        assert ask(other, b"1\n") == b"1\n"
        with connect(endpoint) as client:
            assert ask(client, b"0\n") == b""
        assert ask(other, b"1\n") == b"1\n"
        other.close()  # or the server lingers
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=30)
    assert "in fragile" in errors
    assert errors.endswith("ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("app", "endpoint", "status", "told"),
    [
        (bytes.upper, "nonsense", 2, "'nonsense' is not an endpoint"),
        (bytes.upper, "tcp://192.0.2.1:0", 1, "cannot listen on tcp://192.0.2.1:0"),
        (None, "tcp://127.0.0.1:0", 2, "NoneType cannot be served"),
        (App(datagrams=bytes.upper), "tcp://127.0.0.1:0", 2, "tcp://127.0.0.1:0 is for connections, and"),
    ],
)
def test_a_mistake_is_one_line_and_an_exit_status(
    app: object, endpoint: str, status: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised:
        caas_trio.run(app, endpoint)
    captured = capsys.readouterr()
    assert (raised.value.code, captured.out) == (status, "")
    assert captured.err.startswith(told)
    assert captured.err.count("\n") == 1


def test_a_failing_context_is_reported_with_its_traceback() -> None:
    text = """
@asynccontextmanager
async def app():
    1 / 0
    yield shout

caas_trio.run(app, "tcp://127.0.0.1:0")
"""
    command = [sys.executable, "-c", HEAD + text]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    *_, last, line = ended.stderr.splitlines()
    assert last == "ZeroDivisionError: division by zero"
    assert line == "app: its context has failed: ZeroDivisionError: division by zero"


class Seen(Telemetry):
    """Stops the server once it listens, and notes where."""

    def __init__(self, stop: trio.Event) -> None:
        self.stop = stop
        self.endpoints: list[Endpoint] = []

    def listening(self, endpoint: Endpoint) -> None:
        self.endpoints.append(endpoint)
        self.stop.set()


def test_it_takes_the_options_of_serve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = Endpoint.parse(f"unix:{tmp_path}/caas.sock")
    stop = trio.Event()
    mine, theirs = Seen(stop), Seen(stop)
    app = App(service=bytes.upper, limits=Limits(max_line=5), telemetry=theirs)
    caas_trio.run(app, endpoint, stop=stop, telemetry=mine)
    assert mine.endpoints == theirs.endpoints == [endpoint]
    assert capsys.readouterr().out == f"listening on {endpoint}\n"


class Hangup(Telemetry):
    """Asks for a reload of certificates twice, the second time of invalid ones, and then for a stop."""

    def __init__(self, certificate: Path) -> None:
        self.certificate = certificate

    def listening(self, endpoint: Endpoint) -> None:  # noqa: ARG002 - the one that there is
        os.kill(os.getpid(), signal.SIGHUP)
        trio.lowlevel.spawn_system_task(self.go_on)

    async def go_on(self) -> None:
        await trio.testing.wait_all_tasks_blocked()
        self.certificate.write_text("garbage")
        for number in (signal.SIGHUP, signal.SIGTERM):
            os.kill(os.getpid(), number)
            await trio.testing.wait_all_tasks_blocked()


def test_sighup_reloads_certificates_of_a_script(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    certificate, key, _ = write_files(tmp_path)
    trust = Trust(tls=Certificates(certificate, key))
    caas_trio.run(bytes.upper, "tls://127.0.0.1:0", trust=trust, telemetry=Hangup(certificate))
    assert caplog.messages == [
        "the certificates have been reloaded",
        "the certificates could not be reloaded; the old ones stay",
    ]


def test_a_stop_cancels_a_context_being_entered() -> None:
    left: list[str] = []

    @asynccontextmanager
    async def app() -> AsyncIterator[App]:
        signal.raise_signal(signal.SIGTERM)
        try:
            await trio.Event().wait()
            yield App(datagrams=bytes.upper)
        finally:
            left.append("left")

    caas_trio.run(app, "tcp://127.0.0.1:0")
    assert left == ["left"]
