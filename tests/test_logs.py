"""The log: a line for each event, of text and nothing else, for people or for machines."""

from __future__ import annotations

import json
import re
import sys

import click
import pytest

from caas_trio.observing.logs import LEVELS, MAX_TOLD, LogFormat, harmless, open_log

NASTY = "\x1b[2J\nforged: \u202e\x00\udcff\u00e9"
TAMED = r"\x1b[2J\nforged: \u202e\x00\udcff" + "\u00e9"


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
