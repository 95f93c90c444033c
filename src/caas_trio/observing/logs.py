"""Log lines on standard error, for people or for machines: `open_log`.

Whatever a line tells of is escaped and bounded here, whoever it comes from: an event is one line,
and nothing in it reaches a terminal as anything but text.
"""

from __future__ import annotations

import enum
import logging
import os
import sys
import traceback
from collections.abc import MutableMapping
from typing import Any, Final

import click
import structlog

from caas_trio.core.printable import printable

#: How many characters of a value are told, and of an event: an app may write them as it likes.
MAX_TOLD: Final = 200
_MAX_EVENT: Final = 4096

#: The value that is a traceback: structlog writes one of that name below the line.
_TRACEBACK: Final = "exception"

#: How many frames, lines and characters of a line are told of a traceback: those at its end.
_MAX_FRAMES: Final = 100
_MAX_LINES: Final = 1000
_MAX_LINE: Final = 1000

#: The levels that are used, the most talkative first.
LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogFormat(enum.StrEnum):
    """Who is to read the log."""

    CONSOLE = "console"
    JSON = "json"


def open_log(log_format: LogFormat, level: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that writes a line to standard error for each event of `level` or above."""
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _StandardError(),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso"),
            _format_traceback,
            _make_harmless,
            _renderer(log_format),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    )
    return log


def tell(message: str) -> None:
    """Write one line to standard error, or nothing if that is gone."""
    try:
        click.echo(message, err=True)
    except OSError:
        sys.stderr = None


def harmless(text: str, limit: int = MAX_TOLD) -> str:
    """Return at most `limit` characters of a text, with all that does not print escaped."""
    escaped = printable(text[:limit])
    return escaped if len(text) <= limit else f"{escaped}..."


def _format_traceback(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Put text in the place of `exc_info`. Each line is indented, so that none looks like an event."""
    if error := event.pop("exc_info", None):
        told = traceback.TracebackException(*error, limit=-_MAX_FRAMES, compact=True)
        lines = [line for part in told.format() for line in part.rstrip("\n").split("\n")]
        if len(lines) > _MAX_LINES:
            half = _MAX_LINES // 2
            lines[half:-half] = [f"... and {len(lines) - _MAX_LINES} more lines ..."]
        event[_TRACEBACK] = "\n".join(f"    {harmless(line, _MAX_LINE)}" for line in lines)
    return event


def _make_harmless(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {
        harmless(name): value
        if isinstance(value, int | float) or name == _TRACEBACK
        else harmless(str(value), _MAX_EVENT if name == "event" else MAX_TOLD)
        for name, value in event.items()
    }


def _renderer(log_format: LogFormat) -> structlog.typing.Processor:
    if log_format is LogFormat.JSON:
        return structlog.processors.JSONRenderer()
    colors = sys.stderr is not None and sys.stderr.isatty() and "NO_COLOR" not in os.environ
    return structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)


class _StandardError:
    """What structlog hands its lines to."""

    def info(self, line: str) -> None:
        tell(line)

    debug = info
    warning = info
    error = info
    critical = info
