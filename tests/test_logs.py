"""The log: a line for each event, of text and nothing else, for people or for machines."""

from __future__ import annotations

import io
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr
from typing import IO

import pytest

from caas_trio.observing.linewriter import MAX_LINE
from caas_trio.observing.logs import LEVELS, MAX_TOLD, LogFormat, harmless, open_log, tell

NASTY = "\x1b[2J\nforged: \u202e\x00\udcff\u00e9"
TAMED = r"\x1b[2J\nforged: \u202e\x00\xff" + "\u00e9"


def test_a_json_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogFormat.JSON, "warning").warning(NASTY, count=3, share=0.5, name=NASTY, parts=[NASTY])
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.isascii()
    line = json.loads(text)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", line.pop("timestamp"))
    parts = harmless(repr([NASTY]))
    assert line == {
        "event": TAMED,
        "level": "warning",
        "count": 3,
        "share": 0.5,
        "name": TAMED,
        "parts": parts,
    }


def test_a_console_record_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogFormat.CONSOLE, "warning").error(NASTY, name=NASTY)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[error", text)
    assert TAMED in text


def test_a_record_is_bounded() -> None:
    assert harmless("a" * MAX_TOLD) == "a" * MAX_TOLD
    assert harmless("a" * (MAX_TOLD + 1)) == "a" * MAX_TOLD + "..."
    assert len(harmless("\U0010ffff" * 10_000_000)) == 10 * MAX_TOLD + 3


@pytest.mark.parametrize("level", LEVELS)
def test_records_below_the_level_are_dropped(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(LogFormat.JSON, level)
    for name in LEVELS:
        getattr(log, name)("an event")
    told = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert told == list(LEVELS)[list(LEVELS).index(level) :]


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        """Return true."""
        return True


@pytest.mark.parametrize(("no_color", "colored"), [(False, True), (True, False)])
def test_colors_are_for_terminals(
    no_color: bool,  # noqa: FBT001
    colored: bool,  # noqa: FBT001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    with redirect_stderr(Terminal()) as terminal:
        open_log(LogFormat.CONSOLE, "info").info("an event")
    assert ("\x1b[" in terminal.getvalue()) is colored


BEGIN = """
import os
from caas_trio.observing.logs import *
from caas_trio.observing.logs import _standard_error
log = open_log(LogFormat.JSON, "error")
"""


def logs_to(
    stderr: int | IO[bytes], script: str = "log.error('an event')", pass_fds: Sequence[int] = ()
) -> subprocess.CompletedProcess[bytes]:
    """Run a process that logs, and return it."""
    return subprocess.run(
        [sys.executable, "-c", BEGIN + script],
        stdout=subprocess.PIPE,
        stderr=stderr,
        pass_fds=pass_fds,
        timeout=60,
        check=False,
    )


def test_the_log_is_flushed_at_exit() -> None:
    ended = logs_to(subprocess.PIPE, "for number in range(1000): log.error('an event', number=number)")
    assert ended.returncode == 0
    assert [json.loads(line)["number"] for line in ended.stderr.splitlines()] == list(range(1000))


def test_a_closed_or_full_standard_error_stops_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    assert logs_to(writing).returncode == 0
    os.close(writing)
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        assert logs_to(full).returncode == 0
    with redirect_stderr(None):
        open_log(LogFormat.CONSOLE, "info").info("an event")
        tell("a line")


def test_an_unread_standard_error_stops_nothing() -> None:
    reading, writing = os.pipe()
    ended = logs_to(writing, "for _ in range(10000): log.error('an event')\nprint('still here')")
    assert (ended.returncode, ended.stdout) == (0, b"still here\n")
    os.close(reading)
    os.close(writing)


def test_a_listening_socket_is_not_used_as_the_log() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        ended = logs_to(listening.fileno(), "tell('a line')\nprint(_standard_error())")
    assert (ended.returncode, ended.stdout) == (0, b"None\n")


def test_a_full_disk_drops_lines_and_counts_them() -> None:
    """A disk that is full, and has room again: in its place a pipe."""
    reading, writing = os.pipe()
    script = f"""
writer = _standard_error()
for _ in range(3):
    log.error("lost")
    writer.flush(30)
os.dup2({writing}, writer._fd)
log.error("next")
"""
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        ended = logs_to(full, script, [writing])
    os.close(writing)
    with os.fdopen(reading, "rb") as log:
        told = [json.loads(line) for line in log]
    assert ended.returncode == 0
    assert [(each["level"], each["event"]) for each in told] == [
        ("warning", "the log has lost lines"),
        ("error", "next"),
    ]
    assert told[0]["lines"] == 3


def failing(message: str) -> None:
    raise ValueError(message)


def told_of(message: str, log_format: LogFormat, capsys: pytest.CaptureFixture[str]) -> str:
    """Return what is logged of a bug whose message came from a client."""
    log = open_log(log_format, "warning")
    try:
        failing(message)
    except ValueError as error:
        log.error("conversation failed", exc_info=(ValueError, error, error.__traceback__), peer="a")  # noqa: TRY400
    return capsys.readouterr().err


def test_a_console_traceback_follows_its_line_indented(capsys: pytest.CaptureFixture[str]) -> None:
    first, *lines, last = told_of(NASTY, LogFormat.CONSOLE, capsys).splitlines()
    assert "conversation failed" in first
    assert lines[0] == "    Traceback (most recent call last):"
    assert "    raise ValueError(message)" in "\n".join(lines)
    assert lines[-1] == r"    ValueError: \x1b[2J"
    assert last == r"    forged: \u202e\x00\xff" + "\u00e9"


def test_a_json_traceback_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    text = told_of(NASTY, LogFormat.JSON, capsys)
    assert text.count("\n") == 1
    assert json.loads(text)["exception"].splitlines()[-1].startswith("    forged: ")


@pytest.mark.parametrize("message", ["a" * 1_000_000, "a\n" * 1_000_000])
def test_a_traceback_is_bounded(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = told_of(message, LogFormat.CONSOLE, capsys)
    assert len(text.splitlines()) <= 1002
    assert max(map(len, text.splitlines())) < 1100


@pytest.mark.parametrize("log_format", LogFormat)
@pytest.mark.parametrize(
    "message", ["\n".join("a" * 900 for _ in range(900)), "\U0001f600" * 1000, "\0" * 1000]
)
def test_a_line_fits_one_atomic_write(
    log_format: LogFormat, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = told_of(message, log_format, capsys)
    assert max(len(line.encode()) for line in text.splitlines(keepends=True)) <= MAX_LINE
    values = dict.fromkeys("abcdefgh", message)
    open_log(log_format, "info").error("an event", **values)
    text = capsys.readouterr().err
    assert "an event" in text
    assert max(len(line.encode()) for line in text.splitlines(keepends=True)) <= MAX_LINE
    if log_format is LogFormat.JSON:
        assert set(values) < set(json.loads(text))
