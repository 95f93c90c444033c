"""The service with workers, as processes: they are killed, reload their settings, and are stopped.

Slow: each test starts a supervisor and its workers, which takes seconds on a busy machine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import zipfile
from contextlib import ExitStack, suppress
from pathlib import Path

import psutil
import pytest

import caas_trio
from caas_trio import Endpoint

from .support.processes import Service, never_reading, service
from .support.sockets import get, receive_all, reply_to, talk

pytestmark = pytest.mark.slow

WORKERS = ("--workers", "2", "--log-format", "json", "--log-level", "info")


def workers_of(running: Service) -> list[int]:
    """Return the processes that the service has started, whichever thread of it that was."""
    threads = Path(f"/proc/{running.process.pid}/task").glob("*/children")
    return [int(pid) for children in threads for pid in children.read_text().split()]


def connections_of(worker: int) -> int:
    """Return how many connections a process has."""
    return sum(
        each.status == psutil.CONN_ESTABLISHED for each in psutil.Process(worker).net_connections("tcp")
    )


def test_every_kind_of_endpoint_is_shared_and_reported_once(tmp_path: Path) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    paths = [tmp_path / "stream", tmp_path / "datagram"]
    endpoints = ("tcp://127.0.0.1:0", f"unix:{paths[0]}", "udp://127.0.0.1:0", f"unixgram:{paths[1]}")
    with service(*WORKERS, endpoints=endpoints) as running:
        assert [each.scheme.value for each in running.endpoints] == ["tcp", "unix", "udp", "unixgram"]
        for _ in range(8):
            assert talk(running.connect(0), b"a\nb") == b"A\nB"
            assert talk(running.connect(1), b"a\nb") == b"A\nB"
            assert reply_to(running.endpoints[2], b"a") == b"A"
            assert reply_to(running.endpoints[3], b"a") == b"A"
        groups = {os.getpgid(pid) for pid in workers_of(running)}
        assert groups == set(workers_of(running))  # Ctrl-C at a terminal is the supervisor's alone
        status, told = running.stop(signal.SIGINT)
        assert status == 0
        assert {json.loads(line)["worker"] for line in told.splitlines()} <= {0, 1}
    assert not any(path.exists() for path in paths)


def test_a_killed_worker_costs_only_its_own_connections() -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    with service(*WORKERS) as running, ExitStack() as opened:
        clients: list[socket.socket] = []
        # Which worker takes a connection is the kernel's affair: some come until each has one.
        while len(clients) < 2 or not all(map(connections_of, workers_of(running))):
            client = opened.enter_context(running.connect())
            client.sendall(b"a\n")
            assert client.recv(10) == b"A\n"
            clients.append(client)
        killed = workers_of(running)[0]
        doomed = connections_of(killed)
        os.kill(killed, signal.SIGKILL)
        event = running.next_events("worker died")[0]
        assert (event["pid"], event["reason"]) == (killed, "signal 9")
        broken = 0
        for client in clients:
            with suppress(ConnectionError):
                client.sendall(b"b\n")
                if client.recv(10) == b"B\n":
                    continue
            broken += 1
        assert broken == doomed
        assert talk(running.connect(), b"c\n") == b"C\n"
        while len(workers_of(running)) < 2:
            pass
        assert killed not in workers_of(running)
        opened.close()  # or the workers linger
        assert running.stop()[0] == 0


def wait_for_workers(running: Service, gone: set[int]) -> None:
    while len(workers_of(running)) < 2 or gone & set(workers_of(running)):
        pass


def test_nothing_depends_on_a_directory_that_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "gone"
    directory.mkdir()
    config = tmp_path / "caas.toml"
    config.write_text('first = "server"\nprompt = "one:"')
    monkeypatch.chdir(directory)
    endpoints = ("tcp://127.0.0.1:0", "unix:../caas.sock")
    with (
        service(*WORKERS, "--config", "../caas.toml", endpoints=endpoints) as running,
        running.connect() as client,
    ):
        monkeypatch.undo()
        directory.rmdir()
        assert client.recv(100) == b"one:\n"
        others = workers_of(running)
        killed = next(pid for pid in others if not connections_of(pid))
        os.kill(killed, signal.SIGKILL)
        assert running.next_events("worker died")[0]["reason"] == "signal 9"
        wait_for_workers(running, {killed})
        config.write_text('first = "server"\nprompt = "two:"')
        running.process.send_signal(signal.SIGHUP)
        running.next_events("reloaded")[0]
        while talk(running.connect(), b"a\n") != b"two:\nA\n":
            pass  # the old workers have not been told yet
        assert talk(client, b"a\n") == b"A\n"
        status, told = running.stop()
        assert status == 0
        assert "died" not in told


def test_workers_of_a_zipapp_run_the_zipapp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(caas_trio.__file__).parent
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        archive.writestr("__main__.py", "from caas_trio.__main__ import main\nmain()")
        for module in package.rglob("*.py"):
            archive.write(module, module.relative_to(package.parent))
    monkeypatch.chdir(tmp_path)
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    (shadow / "trio.py").write_text("raise SystemExit('the shadow')")
    monkeypatch.setenv("PYTHONPATH", str(shadow))
    with service(*WORKERS, program=("-I", "app.pyz")) as running:
        assert talk(running.connect(), b"a\n") == b"A\n"
        status, told = running.stop()
        assert (status, "died" in told) == (0, False)


def test_workers_end_when_the_supervisor_is_killed() -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    with service(*WORKERS) as running, running.connect() as client:
        client.sendall(b"a\n")
        assert client.recv(10) == b"A\n"
        running.process.kill()
        assert receive_all(client) == b""
        client.close()  # or its worker lingers
        running.stderr.read()  # until the last one has closed it
        with pytest.raises(ConnectionRefusedError):
            running.connect()


def test_a_second_signal_cuts_everything_off() -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    with service(*WORKERS, "--drain-timeout", "1000") as running, never_reading(running):
        running.process.send_signal(signal.SIGTERM)
        running.wait_until_closed()
        assert running.stop()[0] == 0


def test_a_reload_reads_settings_and_keeps_the_old_on_errors(tmp_path: Path) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    config = tmp_path / "caas.toml"
    config.write_text('first = "server"\nprompt = "one:"')
    with service(*WORKERS, "--config", str(config)) as running:
        old = running.connect()
        assert old.recv(100) == b"one:\n"
        before = workers_of(running)
        config.write_text('first = "nobody"')
        running.process.send_signal(signal.SIGHUP)
        failed = running.next_events("the settings could not be reloaded; the old workers stay")[0]
        assert str(failed["reason"]).startswith(f"{config} sets 'first': 'nobody' is not one of")
        assert workers_of(running) == before
        config.write_text('first = "server"\nprompt = "two:"')
        running.process.send_signal(signal.SIGHUP)
        running.next_events("reloaded")[0]
        assert talk(old, b"a\n") == b"A\n"
        while set(before) & set(workers_of(running)):
            pass  # they have nothing more to do, and go once they have been told
        assert talk(running.connect(), b"a\n") == b"two:\nA\n"
        assert len(workers_of(running)) == 2
        assert running.stop()[0] == 0


def test_the_supervisor_serves_the_metrics() -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    with service(*WORKERS, "--metrics", "127.0.0.1:0") as running:
        told = running.stdout.readline()
        monitored = Endpoint.parse(told.strip().removesuffix("/metrics").replace("metrics on http:", "tcp:"))
        address = (monitored.host, monitored.port)
        assert get(address, "readyz")[0] == b"200"
        assert talk(running.connect(), b"a\n") == b"A\n"
        while b"caas_trio_lines_total 1.0\n" not in get(address, "metrics")[1]:
            pass  # a worker writes its metrics once a second
        assert running.stop()[0] == 0
