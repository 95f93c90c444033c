"""The example servers of the documentation: run as processes, spoken to by plain blocking sockets."""

from __future__ import annotations

import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest

from .support.processes import Service, started
from .support.sockets import receive_all, talk

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "docs" / "examples"
PROMPT = b"Enter some data to be capitalized:\n"


@contextmanager
def example(name: str, endpoint: str = "tcp://127.0.0.1:0") -> Iterator[Service]:
    command = [sys.executable, str(EXAMPLES / name), endpoint]
    with started(command) as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("name", ["capitals.py", "one_line.py", "box.py"])
def test_sigterm_drains_each_example(name: str, number: int) -> None:
    """Slow: six processes start a Python."""
    greeting = b"" if name == "box.py" else PROMPT
    with example(name) as running:
        with running.connect() as waiting:
            assert waiting.recv(len(greeting), socket.MSG_WAITALL) == greeting
            running.process.send_signal(number)
            assert receive_all(waiting) == b""
        assert running.end() == (0, "")


def test_the_drain_answers_what_has_been_received() -> None:
    lines = b"a line\n" * 1000
    with example("capitals.py") as running:
        with running.connect() as busy:
            assert busy.recv(len(PROMPT), socket.MSG_WAITALL) == PROMPT
            busy.sendall(lines)
            running.process.send_signal(signal.SIGTERM)
            assert receive_all(busy) == lines.upper()
        assert running.end() == (0, "")


@pytest.mark.parametrize(
    ("endpoint", "status", "told"),
    [
        ("nonsense", 2, "'nonsense' is not an endpoint"),
        ("tcp://192.0.2.1:0", 1, "cannot listen on tcp://192.0.2.1:0"),
    ],
)
def test_a_failure_to_start_is_one_line(endpoint: str, status: int, told: str) -> None:
    command = [sys.executable, str(EXAMPLES / "capitals.py"), endpoint]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == status
    assert ended.stderr.startswith(told)
    assert ended.stderr.count("\n") == 1


def test_capitals() -> None:
    with example("capitals.py") as running:
        assert talk(running.connect()) == PROMPT
        assert talk(running.connect(), b"one\r\n\ntw", b"o\nlast") == PROMPT + b"ONE\r\n\nTWO\nLAST"


def test_one_line() -> None:
    with example("one_line.py") as running:
        assert talk(running.connect()) == PROMPT
        assert talk(running.connect(), b"one\ntwo\n") == PROMPT + b"ONE\n"


def test_datagrams() -> None:
    with (
        example("datagrams.py", "udp://127.0.0.1:0") as running,
        socket.socket(type=socket.SOCK_DGRAM) as client,
    ):
        with client:
            client.settimeout(30)
            client.connect((running.endpoints[0].host, running.endpoints[0].port))
            client.send(b"hello\nworld")
            assert client.recv(100) == b"HELLO\nWORLD"
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == (0, "")


def test_several_processes() -> None:
    command = [sys.executable, str(EXAMPLES / "several_processes.py"), "2", "0"]
    with started(command, listeners=2) as running:
        try:
            assert running.endpoints[0] == running.endpoints[1]
            for _ in range(8):
                assert talk(running.connect(), b"one\ntwo") == b"ONE\nTWO"
        finally:  # a kill would leave the others running
            status, _ = running.stop()
        assert status == 0


#: Conversations with one box, in this order.
BOX_CONVERSATIONS = [
    ([b"GET\n"], b"0\n"),
    ([b"PUT 3\na\nbGET\n"], b"ok\n3\na\nb"),
    ([b"PU", b"T 7\r\nGET", b"\nGET", b"GET\r\n"], b"ok\n7\nGET\nGET"),
    ([b"PUT 0\nGET\n"], b"ok\n0\n"),
    ([b"QUIT\nGET\n"], b""),
    ([b"HELLO\n\nGET\n"], b"error: expected PUT <n>, GET or QUIT\n" * 2 + b"0\n"),
    ([b"PUT\nGET\n"], b"error: PUT needs a number of bytes, 6 digits at most\n"),
    ([b"PUT 1000000\nGET\n"], b"error: PUT needs a number of bytes, 6 digits at most\n"),
    ([b"PUT " + b"9" * 5000 + b"\n"], b"error: PUT needs a number of bytes, 6 digits at most\n"),
    ([b"PUT -1\n"], b"error: PUT needs a number of bytes, 6 digits at most\n"),
    ([b"PUT 5\nab"], b"error: the input ended after 2 of 5 bytes\n"),
    ([b"GET" * 30000], b"error: line longer than 65536 bytes\n"),
    ([b"PUT 768000\n", bytes(range(256)) * 3000], b"ok\n"),
    ([b"GET\n"], b"768000\n" + bytes(range(256)) * 3000),
    ([b"PUT 4\nkeep"], b"ok\n"),
    ([b"PUT 0"], b"error: the last line has no end\n"),
    ([b"QUIT"], b"error: the last line has no end\n"),
    ([b"GET\nGET"], b"4\nkeeperror: the last line has no end\n"),
]


def test_box() -> None:
    with example("box.py") as running:
        for pieces, heard in BOX_CONVERSATIONS:
            assert talk(running.connect(), *pieces) == heard
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == (0, "")


def lines(client: socket.socket, count: int) -> list[bytes]:
    """Return `count` lines as they come."""
    heard = b""
    while heard.count(b"\n") < count:
        heard += client.recv(65536)
    return heard.splitlines()


def joined(running: Service, name: bytes) -> socket.socket:
    client = running.connect()
    client.sendall(name + b"\n")
    assert lines(client, 1) == [b"your name?"]
    assert talk(running.connect(), b"\n") == b"your name?\n"  # by now the name has been read, too
    return client


def test_chat() -> None:
    with example("chat.py") as running:
        assert talk(running.connect(), b"\n") == b"your name?\n"
        with joined(running, b"ann") as ann, joined(running, b"bob") as bob:
            assert lines(ann, 1) == [b"* bob is here"]
            bob.sendall(b"hello\n")
            assert lines(ann, 1) == [b"bob: hello"]
            ann.sendall(b"hi\n")
            assert lines(bob, 1) == [b"ann: hi"]
            ann.shutdown(socket.SHUT_WR)
            assert lines(bob, 1) == [b"* ann has left"]
            running.process.send_signal(signal.SIGTERM)
            assert receive_all(bob) == b""
        assert running.end() == (0, "")


def test_a_slow_reader_leaves_the_chat_and_delays_no_other_member() -> None:
    with (
        example("chat.py") as running,
        joined(running, b"slow") as slow,
        joined(running, b"ann") as ann,
        joined(running, b"bob") as bob,
    ):
        assert lines(ann, 1) == [b"* bob is here"]
        said = b"x" * 900 + b"\n"
        heard: list[bytes] = []
        while b"* slow has left" not in heard:  # until the kernel's buffers and its outbox are full
            bob.sendall(said * 50)
            heard = lines(ann, 50)
            assert heard.count(b"bob: " + said.strip()) >= 49
        with suppress(ConnectionError):
            while slow.recv(65536):  # what the kernel has of it, and then the end
                pass


@pytest.fixture
def words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "words.sqlite"
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE words (word TEXT PRIMARY KEY, meaning TEXT)")
        database.execute("INSERT INTO words VALUES ('trio', 'three\nthat play')")
    monkeypatch.setenv("LOOKUP_DB", str(file))
    return file


@pytest.mark.usefixtures("words")
def test_lookup() -> None:
    with example("lookup.py") as running:
        assert talk(running.connect(), b"trio\nduo\ntrio") == (
            b"three that play\nerror: no such word\nthree that play\n"
        )
        running.process.send_signal(signal.SIGTERM)
        assert running.end() == (0, "")


def test_lookup_without_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOOKUP_DB", str(tmp_path / "missing"))
    command = [sys.executable, str(EXAMPLES / "lookup.py"), "tcp://127.0.0.1:0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    told = "app: its context has failed: OperationalError: unable to open database file\n"
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.endswith(told)


def test_the_readme_shows_the_handler_of_capitals() -> None:
    source = (EXAMPLES / "capitals.py").read_text()
    handler = re.search(r"async def handler.*?\n\n", source, re.DOTALL)
    assert handler is not None
    shown = re.sub(r' *"""Serve one client."""\n', "", handler[0])
    assert shown.rstrip() in (ROOT / "README.md").read_text()
