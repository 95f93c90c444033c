"""Each step of docs/hosting.md is taken, as it is written there.

Slow: most steps start a service.
"""

from __future__ import annotations

import re
import shlex
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .support.processes import Service, started
from .support.sockets import talk

PAGE = (Path(__file__).parent.parent / "docs" / "hosting.md").read_text()
COMMANDS = re.findall(r"^    (caas-trio .*)$", PAGE, re.MULTILINE)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with all files of the page; commands are run there."""
    shout, *others = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "shout.py").write_text(shout)
    for text in others:
        name = text.split(maxsplit=2)[1]
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def here(command: str) -> list[str]:
    """Return a command of the page with free ports."""
    _, *words = shlex.split(re.sub(r":(7000|9464)\b", ":0", command))
    endpoint = [] if any("://" in word for word in words) else ["tcp://127.0.0.1:0"]
    return [sys.executable, "-m", "caas_trio", *words, *endpoint]


@contextmanager
def running(command: str) -> Iterator[Service]:
    """Run a command of the page; give it once it listens."""
    with started(here(command)) as service:
        yield service


@pytest.mark.usefixtures("home")
def test_three_lines() -> None:
    said, heard = re.findall(r"printf '(.*?)' \| caas-client.*\n((?:    \w+\n)+)", PAGE)[0]
    with running(COMMANDS[0]) as service:
        reply = talk(service.connect(), said.encode().decode("unicode_escape").encode())
        assert reply.decode().split() == heard.split()
        assert service.stop() == (0, "")


@pytest.mark.usefixtures("home")
def test_a_handler() -> None:
    with running("caas-trio --app counter:handler tcp://127.0.0.1:7000") as service:
        assert talk(service.connect(), b"one\ntwo three\n") == b"count what?\n1 so far\n3 so far\n"
        assert service.stop() == (0, "")


def test_a_mistake(home: Path) -> None:
    asked, told = re.findall(r"\$ (caas-trio .*)\n    (.*)\n", PAGE)[0]
    ended = subprocess.run(here(asked), capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 2
    assert ended.stderr == told.replace("/home/me", str(home)) + "\n"


@pytest.mark.usefixtures("home")
def test_a_pool() -> None:
    with running("caas-trio --app pooled:app tcp://127.0.0.1:7000") as service:
        assert talk(service.connect(), b"a\n") == b"A\n"
        service.process.send_signal(signal.SIGTERM)
        assert service.stdout.read() == "pool: closed\n"
        assert service.end() == (0, "")


@pytest.mark.usefixtures("home")
def test_a_log_and_metrics_of_its_own() -> None:
    [command] = [each for each in COMMANDS if "--metrics" in each]
    with running(command) as service:
        page = service.stdout.readline().removeprefix("metrics on ").strip()
        assert talk(service.connect(), b"what?\nnothing\n") == b"who knows\nif you say so\n"
        with urllib.request.urlopen(page) as answer:  # noqa: S310 - our own service
            assert "\nquestions_total 1.0\n" in answer.read().decode()
        status, told = service.stop()
    assert status == 0
    assert re.search(r"\[warning  \] a question of 6 bytes +\[logged\]\n", told)


@pytest.mark.slow
def test_new_code(home: Path) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    [command] = [each for each in COMMANDS if "--workers" in each]
    with running(f"{command} --log-level info") as service:
        assert talk(service.connect(), b"a b\n") == b"A B\n"
        (home / "shout.py").write_text((home / "shout.py").read_text().replace("upper", "title"))
        service.process.send_signal(signal.SIGHUP)
        assert any("reloaded" in line for line in iter(service.stderr.readline, ""))
        while talk(service.connect(), b"ab cd\n") != b"Ab Cd\n":
            pass  # an old worker has not been told yet
        assert service.stop()[0] == 0


@pytest.mark.slow
def test_under_systemd_and_behind_a_proxy(home: Path) -> None:
    """Slow: a supervisor and each of its workers start a Python."""
    [line] = re.findall(r"^ExecStart=(.*)$", PAGE, re.MULTILINE)
    [proxied] = re.findall(r"`(--proxy-protocol --proxy-from) 10.0.0.10`", PAGE)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        passed = listening.fileno()
        command = line.replace("/opt/shout", str(home)).replace("systemd:lines", f"fd://{passed}")
        words = [*here(command), *shlex.split(proxied), "127.0.0.1"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, pass_fds=[passed]) as process:
            assert process.stdout is not None
            try:
                assert process.stdout.readline().startswith("listening on tcp://127.0.0.1:")
                client = socket.create_connection(listening.getsockname(), timeout=30)
                assert talk(client, b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\na\n") == b"A\n"
                process.terminate()
                assert process.wait(timeout=30) == 0
            finally:
                process.kill()
