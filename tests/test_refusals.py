"""Each refused connection is a line of its own, exact, of one shape, and never waited for."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from caas_trio import Endpoint, InternetPeer, LocalPeer
from caas_trio.observing.linewriter import MAX_LINE
from caas_trio.observing.logs import LogFormat
from caas_trio.observing.refusals import AppendedFile, RefusalStream
from caas_trio.program import cli

from .support import sockets
from .support.processes import service

AT = Endpoint.parse("tcp://127.0.0.1:50007")
PEER = InternetPeer("192.0.2.7", 40312)
FORGED = "x' address=203.0.113.9 port=1\n2026-11-29T00:00:00.000000Z [warning  ] address=203.0.113.9"


def lines(path: Path) -> list[str]:
    return path.read_text("utf-8").splitlines()


def test_each_refusal_is_a_line_however_many_there_are(tmp_path: Path) -> None:
    file = tmp_path / "refusals.log"
    with RefusalStream(file, LogFormat.CONSOLE).open() as refusals:
        for number in range(300):
            refusals.connection_refused("too many connections", AT, InternetPeer("192.0.2.7", number))
    told = lines(file)
    assert [re.findall(r"port=(\d+)", line) for line in told] == [[str(number)] for number in range(300)]
    values = r"address=192\.0\.2\.7 port=\d+ endpoint=\S+ reason='too many connections'"
    shape = rf"\S+Z \[warning  \] client refused +{values}"
    assert all(re.fullmatch(shape, line) for line in told)
    assert file.stat().st_mode & 0o777 == 0o640


def test_for_machines_a_line_is_an_object_that_begins_with_the_address(tmp_path: Path) -> None:
    file = tmp_path / "refusals.log"
    with RefusalStream(file, LogFormat.JSON).open() as refusals:
        refusals.connection_refused("too many connections", AT, InternetPeer("2001:db8::7", 1))
        refusals.connection_refused("the user is not allowed", AT, LocalPeer(1, 2, 3))
        refusals.connection_refused("the address is not allowed", AT, InternetPeer("", 0))
    first, second, third = [json.loads(line) for line in lines(file)]
    assert next(iter(first.items())) == ("address", "2001:db8::7")
    assert (first["event"], first["reason"]) == ("client refused", "too many connections")
    assert (second["pid"], second["uid"]) == (1, 2)
    assert "address" not in second
    assert third["address"] == "unknown"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_a_reason_is_text_and_nothing_else(log_format: LogFormat, tmp_path: Path) -> None:
    file = tmp_path / "refusals.log"
    with RefusalStream(file, log_format).open() as refusals:
        refusals.connection_refused(FORGED + "\0\x1b[31m" + "\x85" * 99999, AT, PEER)
    [line] = lines(file)
    assert line.isprintable()
    assert len(line) < MAX_LINE
    assert line.index("192.0.2.7") < line.index("203.0.113.9")


def test_a_file_that_is_moved_away_is_made_anew(tmp_path: Path) -> None:
    file = tmp_path / "refusals.log"
    appended = AppendedFile(file)
    appended.write(-1, b"one\n")
    file.rename(tmp_path / "refusals.log.1")
    appended.write(-1, b"two\n")
    file.unlink()
    appended.write(-1, b"three\n")
    appended.write(-1, b"four\n")
    appended.close()
    assert lines(tmp_path / "refusals.log.1") == ["one"]
    assert lines(file) == ["three", "four"]


def test_what_cannot_be_written_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    file = folder / "refusals.log"
    with RefusalStream(file, LogFormat.JSON).open() as refusals:
        refusals.connection_refused("before", AT, PEER)
        refusals.flush(10)
        file.rename(tmp_path / "old")
        folder.rmdir()
        for _ in range(3):
            refusals.connection_refused("meanwhile", AT, PEER)
            refusals.flush(10)
        folder.mkdir()
        refusals.connection_refused("after", AT, PEER)
    told = [json.loads(line) for line in lines(file)]
    assert [each["event"] for each in told] == ["refusals were lost", "client refused"]
    assert told[0]["lines"] == 3
    assert told[1]["reason"] == "after"


def test_a_file_that_is_not_read_delays_no_client(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with RefusalStream(pipe, LogFormat.JSON).open() as refusals:
        for _ in range(5000):
            refusals.connection_refused("x" * 150, AT, PEER)
        assert not refusals.flush(0.001)
        heard = b""
        while heard.count(b"client refused") + _lost(heard) < 5000:
            heard += _read(reading)
    os.close(reading)
    assert _lost(heard)


def test_a_file_that_is_never_read_does_not_keep_the_service_from_its_end(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reading = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with RefusalStream(pipe, LogFormat.JSON).open() as refusals:
        for _ in range(1000):
            refusals.connection_refused("x" * 150, AT, PEER)
    heard = _read(reading)  # what the pipe holds; the rest is given up
    assert 0 < heard.count(b"\n") < 1000
    assert heard.endswith(b"\n")
    os.close(reading)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


def _lost(heard: bytes) -> int:
    return sum(int(number) for number in re.findall(rb'"lines": (\d+)', heard))


def test_the_service_logs_them(tmp_path: Path) -> None:
    file = tmp_path / "refusals.log"
    with service("--max-rate-per-host", "1", "--log-refusals", str(file), "--log-format", "json") as running:
        for _ in range(4):
            sockets.talk(running.connect(), b"a\n")
        status, _ = running.stop()
    assert status == 0
    told = [json.loads(line) for line in lines(file)]
    assert told
    assert {each["address"] for each in told} == {"127.0.0.1"}
    assert {each["reason"] for each in told} == {"too many new connections from this host"}


def test_in_the_log_they_appear_at_any_level(tmp_path: Path) -> None:
    options = ("--allow-from", "192.0.2.0/24", "--log-level", "error", "--log-format", "json")
    with service("--log-refusals", "-", *options) as running:
        for _ in range(3):
            sockets.talk(running.connect())
        _, errors = running.stop()
    told = [json.loads(line) for line in errors.splitlines()]
    assert [each["event"] for each in told] == ["client refused"] * 3


@pytest.mark.parametrize("workers", [[], ["--workers", "2"]])
def test_a_file_that_cannot_be_made_is_one_line(
    workers: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "nowhere" / "refusals.log"
    assert cli.run([*workers, "--log-refusals", str(file), "tcp://127.0.0.1:0"]) == 1
    *_, last = capsys.readouterr().err.splitlines()
    assert last == f"caas-trio: cannot log refusals to {file}: no such file or directory"
