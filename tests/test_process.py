"""The real thing: `python -m caas_trio` in a process of its own, spoken to by plain blocking sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from caas_trio import Endpoint

from .support.processes import never_reading, service
from .support.sockets import get, receive_all, reply_to, talk


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


@pytest.mark.parametrize(("text", "capitals"), [("ascii", b"STRA\xc3\x9fE \xff"), ("utf-8", b"STRASSE \xff")])
def test_datagrams_and_connections_are_served_together(text: str, capitals: bytes, tmp_path: Path) -> None:
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


def test_datagrams_queued_at_the_stop_are_answered_by_the_service() -> None:
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
    with service("--drain-timeout", "1000") as running, never_reading(running):
        running.process.send_signal(signal.SIGTERM)
        running.wait_until_closed()
        assert running.stop() == (0, "")


def test_log_level_info_logs_the_end_of_each_connection() -> None:
    with service("--log-level", "info", "--log-format", "json") as running:
        assert talk(running.connect(), b"hello\n") == b"HELLO\n"
        status, told = running.stop()
    assert status == 0
    [line] = told.splitlines()
    event = json.loads(line)
    assert (event["event"], event["level"], event["outcome"]) == ("connection ended", "info", "completed")
    assert event["endpoint"] == str(running.endpoints[0])


def test_monitoring_answers_until_the_end() -> None:
    drain = ("--drain-timeout", "1000")
    with service("--metrics", "127.0.0.1:0", *drain) as running, ExitStack() as clients:
        told = running.stdout.readline()
        assert told.startswith("metrics on http://127.0.0.1:")
        monitored = Endpoint.parse(told.strip().removesuffix("/metrics").replace("metrics on http:", "tcp:"))
        address = (monitored.host, monitored.port)
        assert get(address, "readyz")[0] == b"200"
        clients.enter_context(never_reading(running))
        running.process.send_signal(signal.SIGTERM)
        while get(address, "readyz")[0] == b"200":
            pass  # the signal is on its way
        assert get(address, "readyz")[0] == b"503"
        assert get(address, "healthz")[0] == b"200"
        status, page = get(address, "metrics")
        assert status == b"200"
        assert f'caas_trio_connections_open{{endpoint="{running.endpoints[0]}"}} 1.0\n'.encode() in page
        assert b"_created" not in page
        assert running.stop() == (0, "")


def test_a_metrics_address_in_use_is_one_line() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "caas_trio", "tcp://127.0.0.1:0", "--metrics", address]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
    told = f"caas-trio: cannot listen on tcp://{address}: the address is in use\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", told)


def test_connections_cut_off_by_the_drain_timeout_are_logged() -> None:
    with service("--drain-timeout", "0.1") as running, never_reading(running):
        status, told = running.stop()
        assert status == 0
        [line] = told.splitlines()
        assert line.endswith("the drain timeout is over; unfinished conversations were cut off")
