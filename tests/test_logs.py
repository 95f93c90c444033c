"""The log: a line for each event, of text and nothing else, for people or for machines."""

from __future__ import annotations

import json
import re
import sys

import click
import pytest

from caas_trio.observing.logs import LEVELS, MAX_TOLD, LogFormat, harmless, open_log

NASTY = "\x1b[2J\nforged: \u202e\x00\udcff\u00e9"
TAMED = r"\x1b[2J\nforged: \u202e\x00\xff" + "\u00e9"


def test_for_machines_a_line_is_an_object(capsys: pytest.CaptureFixture[str]) -> None:
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


def test_for_people_a_line_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    open_log(LogFormat.CONSOLE, "warning").error(NASTY, name=NASTY)
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.rstrip("\n").isprintable()
    assert re.match(r"\d{4}-\d\d-\d\dT[\d:.]+Z \[error", text)
    assert TAMED in text


def test_what_is_told_is_bounded() -> None:
    assert harmless("a" * MAX_TOLD) == "a" * MAX_TOLD
    assert harmless("a" * (MAX_TOLD + 1)) == "a" * MAX_TOLD + "..."
    assert len(harmless("\U0010ffff" * 10_000_000)) == 10 * MAX_TOLD + 3


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_below_the_level_is_not_told(level: str, capsys: pytest.CaptureFixture[str]) -> None:
    log = open_log(LogFormat.JSON, level)
    for name in LEVELS:
        getattr(log, name)("an event")
    told = [json.loads(line)["level"] for line in capsys.readouterr().err.splitlines()]
    assert told == list(LEVELS)[list(LEVELS).index(level) :]


@pytest.mark.parametrize(("no_color", "colored"), [(False, True), (True, False)])
def test_colors_are_for_terminals(
    no_color: bool,  # noqa: FBT001
    colored: bool,  # noqa: FBT001
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", "1")
    open_log(LogFormat.CONSOLE, "info").info("an event")
    assert ("\x1b[" in capsys.readouterr().err) is colored


def test_a_standard_error_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", sys.stderr)  # to have it back
    monkeypatch.setattr(click, "echo", gone)
    open_log(LogFormat.CONSOLE, "info").info("an event")
    assert sys.stderr is None
    monkeypatch.undo()
    monkeypatch.setattr(sys, "stderr", None)
    open_log(LogFormat.CONSOLE, "info").info("an event")


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


def test_for_people_a_traceback_is_below_its_line_and_indented(capsys: pytest.CaptureFixture[str]) -> None:
    first, *lines, last = told_of(NASTY, LogFormat.CONSOLE, capsys).splitlines()
    assert "conversation failed" in first
    assert lines[0] == "    Traceback (most recent call last):"
    assert "    raise ValueError(message)" in "\n".join(lines)
    assert lines[-1] == r"    ValueError: \x1b[2J"
    assert last == r"    forged: \u202e\x00\xff" + "\u00e9"


def test_for_machines_a_traceback_is_a_value(capsys: pytest.CaptureFixture[str]) -> None:
    text = told_of(NASTY, LogFormat.JSON, capsys)
    assert text.count("\n") == 1
    assert json.loads(text)["exception"].splitlines()[-1].startswith("    forged: ")


@pytest.mark.parametrize("message", ["a" * 1_000_000, "a\n" * 1_000_000])
def test_a_traceback_is_bounded(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = told_of(message, LogFormat.CONSOLE, capsys)
    assert len(text.splitlines()) <= 1002
    assert max(map(len, text.splitlines())) < 1100
