"""The real thing: `python -m caas_trio` in a process of its own, spoken to by plain blocking sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from caas_trio import Endpoint


class Service:
    """A running `python -m caas_trio`."""

    def __init__(self, process: subprocess.Popen[str], endpoints: list[Endpoint]) -> None:
        self.process = process
        self.endpoints = endpoints

    def connect(self, which: int = 0) -> socket.socket:
        endpoint = self.endpoints[which]
        if endpoint.path:
            client = socket.socket(socket.AF_UNIX)
            client.connect(endpoint.path)
        else:
            client = socket.create_connection((endpoint.host, endpoint.port))
        client.settimeout(30)
        return client

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal; return the exit status and what was told on standard error."""
        self.process.send_signal(number)
        return self.end()

    def end(self) -> tuple[int, str]:
        """Wait for the end; return the exit status and what was told on standard error."""
        _, told = self.process.communicate(timeout=30)
        return self.process.returncode, told


@contextmanager
def service(
    *arguments: str,
    endpoints: tuple[str, ...] = ("tcp://127.0.0.1:0",),
    program: tuple[str, ...] = ("-m", "caas_trio"),
) -> Iterator[Service]:
    """Yield a running service, once it has said where it listens."""
    command = [sys.executable, *program, *endpoints, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            lines = [process.stdout.readline() for _ in endpoints]
            bound = [Endpoint.parse(line.removeprefix("listening on ").rstrip("\n")) for line in lines]
            yield Service(process, bound)
        finally:
            process.kill()


def receive_all(client: socket.socket) -> bytes:
    heard = b""
    while chunk := client.recv(65536):
        heard += chunk
    return heard


def talk(client: socket.socket, data: bytes) -> bytes:
    with client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return receive_all(client)


def wait_until_it_accepts_no_more(running: Service) -> None:
    with suppress(ConnectionError):
        while True:
            talk(running.connect(), b"")  # one at a time, or it has too many connections


def test_it_serves_tcp_and_unix_and_ends_on_sigterm(tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    with service(endpoints=("tcp://127.0.0.1:0", f"unix:{path}")) as running:
        for which in (0, 1):
            assert talk(running.connect(which), b"hello\r\nworld") == b"HELLO\r\nWORLD"
        with running.connect() as waiting:
            waiting.sendall(b"last\n")
            assert waiting.recv(100) == b"LAST\n"
            running.process.send_signal(signal.SIGTERM)
            assert receive_all(waiting) == b""
        assert running.end() == (0, "")
    assert not path.exists()


def reply_to(endpoint: Endpoint, data: bytes) -> bytes:
    """Return the reply to a datagram."""
    with socket.socket(socket.AF_UNIX if endpoint.path else socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(30)
        if endpoint.path:
            client.bind("")  # a name of the kernel's choice
        client.connect(endpoint.path or (endpoint.host, endpoint.port))
        client.send(data)
        return client.recv(1000)


@pytest.mark.parametrize(("text", "capitals"), [("ascii", b"STRA\xc3\x9fE \xff"), ("utf-8", b"STRASSE \xff")])
def test_datagrams_are_served_beside_connections(text: str, capitals: bytes, tmp_path: Path) -> None:
    path = tmp_path / "caas.sock"
    endpoints = ("udp://127.0.0.1:0", "tcp://127.0.0.1:0", f"unixgram:{path}")
    with service("--text", text, "--first", "server", "--prompt", "say it:", endpoints=endpoints) as running:
        assert [each.scheme.value for each in running.endpoints] == ["udp", "tcp", "unixgram"]
        data = "stra\u00dfe ".encode() + b"\xff"
        for which in (0, 2):
            assert reply_to(running.endpoints[which], data) == capitals
        assert talk(running.connect(1), data) == b"say it:\n" + capitals
        assert running.stop() == (0, "")
    assert not path.exists()


def test_what_waits_at_a_stop_is_answered_to_datagrams_too() -> None:
    with service(endpoints=("udp://127.0.0.1:0",)) as running:
        assert reply_to(running.endpoints[0], b"hello") == b"HELLO"
        running.process.send_signal(signal.SIGSTOP)
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            client.settimeout(30)
            for _ in range(100):
                client.sendto(b"hello", (running.endpoints[0].host, running.endpoints[0].port))
            running.process.send_signal(signal.SIGTERM)
            running.process.send_signal(signal.SIGCONT)
            assert [client.recv(10) for _ in range(100)] == [b"HELLO"] * 100
        assert running.end() == (0, "")


@pytest.mark.parametrize(
    ("first", "patient", "heard"),
    [
        ("client", False, b"A\n"),
        ("server", False, b"say it:\nA\n"),
        ("server", True, b"say it:\nA\n"),
        ("either", False, b"A\n"),
        ("either", True, b"say it:\nA\n"),
    ],
)
def test_the_orders(first: str, patient: bool, heard: bytes) -> None:  # noqa: FBT001
    delay = "0.05" if patient else "30"
    with service("--first", first, "--prompt", "say it:", "--prompt-delay", delay) as running:
        client = running.connect()
        prompt = client.recv(8, socket.MSG_WAITALL) if patient else b""
        assert prompt + talk(client, b"a\n") == heard


def test_sigint_ends_it_as_sigterm_does() -> None:
    with service() as running:
        assert running.stop(signal.SIGINT) == (0, "")


def test_a_second_signal_ends_it_at_once() -> None:
    with service("--drain-timeout", "1000") as running, running.connect() as stubborn:
        stubborn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stubborn.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stubborn.sendall(b"never read\n" * 2_000_000)
        running.process.send_signal(signal.SIGTERM)
        wait_until_it_accepts_no_more(running)
        assert running.stop() == (0, "")


def test_the_end_of_a_connection_is_logged_where_that_is_wanted() -> None:
    with service("--log-level", "info", "--log-format", "json") as running:
        assert talk(running.connect(), b"hello\n") == b"HELLO\n"
        status, told = running.stop()
    assert status == 0
    [line] = told.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["outcome"]) == ("connection ended", "info", "completed")
    assert event["endpoint"] == str(running.endpoints[0])


def look_at(address: tuple[str, int], page: str) -> tuple[bytes, bytes]:
    """Return the status and the body of a page for monitoring."""
    with socket.create_connection(address, timeout=30) as client:
        client.sendall(f"GET /{page} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        head, _, body = receive_all(client).partition(b"\r\n\r\n")
        return head.split()[1], body


def test_it_is_monitored_to_its_end() -> None:
    drain = ("--drain-timeout", "1000")
    with service("--metrics", "127.0.0.1:0", *drain) as running, running.connect() as stubborn:
        assert running.process.stdout is not None
        told = running.process.stdout.readline()
        assert told.startswith("metrics on http://127.0.0.1:")
        monitored = Endpoint.parse(told.strip().removesuffix("/metrics").replace("metrics on http:", "tcp:"))
        address = (monitored.host, monitored.port)
        assert look_at(address, "readyz")[0] == b"200"
        stubborn.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stubborn.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stubborn.sendall(b"never read\n" * 2_000_000)
        running.process.send_signal(signal.SIGTERM)
        while look_at(address, "readyz")[0] == b"200":
            pass  # the signal is on its way
        assert look_at(address, "readyz")[0] == b"503"
        assert look_at(address, "healthz")[0] == b"200"
        status, page = look_at(address, "metrics")
        assert status == b"200"
        assert f'caas_trio_connections_open{{endpoint="{running.endpoints[0]}"}} 1.0\n'.encode() in page
        assert b"_created" not in page
        assert running.stop() == (0, "")


def test_a_metrics_address_in_use_is_told_in_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "caas_trio", "tcp://127.0.0.1:0", "--metrics", address]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    told = f"caas-trio: cannot listen on tcp://{address}: the address is in use\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)


def test_what_the_drain_timeout_cuts_off_is_told() -> None:
    with service("--drain-timeout", "0.1") as running, running.connect() as stubborn:
        stubborn.settimeout(0.3)
        with pytest.raises(TimeoutError):
            stubborn.sendall(b"never read\n" * 2_000_000)
        status, told = running.stop()
        assert status == 0
        [line] = told.splitlines()
        assert line.endswith("the drain timeout is over; unfinished conversations were cut off")
