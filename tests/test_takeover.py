"""Servers in processes of their own, on one Unix path: a second one is refused or takes over."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

import pytest

from .support.processes import service
from .support.sockets import receive_all, talk

pytestmark = pytest.mark.slow


@pytest.fixture
def endpoint(tmp_path: Path) -> str:
    return f"unix:{tmp_path}/caas.sock"


def test_a_second_server_fails_and_the_first_goes_on(endpoint: str, tmp_path: Path) -> None:
    """Slow: Python starts twice, one after the other."""
    with service(endpoints=(endpoint,)) as first:
        command = [sys.executable, "-m", "caas_trio", endpoint]
        second = subprocess.run(command, capture_output=True, text=True, check=False)
        assert second.returncode == 1
        assert second.stderr == f"caas-trio: cannot listen on {endpoint}: another server listens on it\n"
        assert talk(first.connect(), b"still\n") == b"STILL\n"
        assert first.stop() == (0, "")
    assert not list(tmp_path.iterdir())


def test_the_path_of_a_killed_server_is_reused(endpoint: str, tmp_path: Path) -> None:
    with service(endpoints=(endpoint,)) as first:
        first.process.kill()
        first.process.wait()
        assert len(list(tmp_path.iterdir())) == 2
        with service(endpoints=(endpoint,)) as second:
            assert talk(second.connect(), b"new\n") == b"NEW\n"
            assert second.stop() == (0, "")
    assert not list(tmp_path.iterdir())


def test_the_old_server_answers_its_own_queue(endpoint: str, tmp_path: Path) -> None:
    with ExitStack() as running:
        old = running.enter_context(service(endpoints=(endpoint,)))
        with old.connect() as client:  # it has begun to accept
            client.sendall(b"a\n")
            assert client.recv(10) == b"A\n"
        old.process.send_signal(signal.SIGSTOP)
        waiting = [running.enter_context(old.connect()) for _ in range(20)]
        for client in waiting:
            client.sendall(b"waiting\n")
            client.shutdown(socket.SHUT_WR)
        command = [sys.executable, "-m", "caas_trio", "--takeover", endpoint]
        new = running.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE, text=True))
        running.callback(new.kill)
        while not (tmp_path / "caas.sock.next").exists():
            os.sched_yield()
        old.process.send_signal(signal.SIGCONT)
        assert [receive_all(client) for client in waiting] == [b"WAITING\n"] * 20
        assert old.end() == (0, "")
        assert new.stdout is not None
        assert new.stdout.readline() == f"listening on {endpoint}\n"
        assert talk(old.connect(), b"new\n") == b"NEW\n"
        new.terminate()
        assert new.wait() == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "restarts"), [((), 2), (("--workers", "2"), 1)], ids=["alone", "workers"]
)
def test_no_client_is_lost_during_takeovers(
    arguments: tuple[str, ...], restarts: int, endpoint: str, tmp_path: Path
) -> None:
    """Slow: Python starts three times or more, under clients that never pause."""
    heard: Counter[str] = Counter()
    enough = Event()

    def connect_all_the_time() -> None:
        while not enough.is_set():
            try:
                with socket.socket(socket.AF_UNIX) as client:
                    client.settimeout(30)
                    client.connect(endpoint.removeprefix("unix:"))
                    client.sendall(b"hello\n")
                    client.shutdown(socket.SHUT_WR)
                    heard[repr(receive_all(client))] += 1
            except OSError as error:
                heard[repr(error)] += 1

    with ExitStack() as running:
        server = running.enter_context(service(*arguments, endpoints=(endpoint,)))
        with server.connect() as old_friend:
            old_friend.sendall(b"before\n")
            assert old_friend.recv(100) == b"BEFORE\n"
            clients = [Thread(target=connect_all_the_time) for _ in range(2)]
            running.callback(enough.set)
            for client in clients:
                client.start()
            for restart in range(restarts):
                before = heard.total()
                late = [server.connect() for _ in range(5)]
                successor = running.enter_context(service("--takeover", *arguments, endpoints=(endpoint,)))
                # The path is handed over, and nobody of these has spoken yet.
                assert [talk(client, b"late\n") for client in late] == [b"LATE\n"] * 5
                assert server.end() == (0, "")
                if not restart:
                    assert receive_all(old_friend) == b""  # an end, not a reset
                server = successor
                while heard.total() == before:
                    assert talk(server.connect(), b"new\n") == b"NEW\n"
        enough.set()
        for client in clients:
            client.join()
        assert server.stop() == (0, "")
    assert set(heard) == {repr(b"HELLO\n")}
    assert not list(tmp_path.iterdir())


def test_a_failed_endpoint_leaves_the_old_server_its_path(endpoint: str, tmp_path: Path) -> None:
    with service(endpoints=(endpoint,)) as old, socket.create_server(("127.0.0.1", 0)) as taken:
        tcp = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "caas_trio", "--takeover", endpoint, tcp]
        new = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (new.returncode, new.stderr) == (
            1,
            f"caas-trio: cannot listen on {tcp}: the address is in use\n",
        )
        assert len(list(tmp_path.iterdir())) == 2
        assert talk(old.connect(), b"still\n") == b"STILL\n"
        assert old.stop() == (0, "")


def test_a_user_not_allowed_is_closed_and_logged(endpoint: str) -> None:
    """Slow: Python starts twice, one after the other."""
    stranger = str(os.getuid() + 1)
    with service("--allow-uid", stranger, "--first", "server", endpoints=(endpoint,)) as closed:
        for _ in range(3):
            with closed.connect() as client:
                assert client.recv(100) == b""
        status, told = closed.stop()
        assert status == 0
        first, counted = told.splitlines()
        assert "connection refused" in first
        assert "reason='the user is not allowed'" in first
        assert f"uid {os.getuid()}" in first
        assert "and 2 more like this" in counted
    with service("--allow-uid", stranger, "--allow-uid", str(os.getuid()), endpoints=(endpoint,)) as opened:
        assert talk(opened.connect(), b"a\n") == b"A\n"
        assert opened.stop() == (0, "")
