"""Log lines for people or for machines: `open_log` on standard error, `log_to` anywhere.

All values of a line are escaped and bounded here, since a client may have chosen them: an event is one
line, and nothing in it reaches a terminal as anything but text.
"""

from __future__ import annotations

import atexit
import enum
import logging
import os
import sys
import traceback
from collections.abc import Callable, MutableMapping
from functools import cache
from typing import Any, Final, TextIO, TypeGuard

import structlog

from caas_trio.core.printable import printable
from caas_trio.drivers.connection import current_connection
from caas_trio.server.inherited import is_listening

from .linewriter import MAX_LINE, LineWriter

#: How many characters of a value, and of an event, are logged: an app may write them as it likes.
MAX_TOLD: Final = 200
_MAX_EVENT: Final = 4096

#: The values that get lines of their own, below the event; structlog gives these names to them.
_BLOCKS: Final = frozenset({"exception", "stack"})

#: How many frames, lines and characters of a line of a traceback are logged: those at its end.
_MAX_FRAMES: Final = 100
_MAX_LINES: Final = 1000
_MAX_LINE: Final = 1000

#: How long (seconds) the end of the process waits for the log to be written.
FLUSH_TIMEOUT_S: Final = 1.0

#: The levels, the most verbose first.
LEVELS: Final = {"info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class LogFormat(enum.StrEnum):
    """How lines are rendered: for people or for programs."""

    CONSOLE = "console"
    JSON = "json"


def open_log(log_format: LogFormat, level: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger that writes a line to standard error for each event of `level` or above.

    No call waits: see `LineWriter`. The number of lost lines is logged at any level.
    """
    colors = sys.stderr is not None and sys.stderr.isatty() and "NO_COLOR" not in os.environ
    processors = _processors(log_format, colors=colors)
    writer = _standard_error()
    if writer is not None:
        writer.notice = _notice(processors, "the log has lost lines", _encoded)
    return _logger(_write, processors, level)


def log_to(
    writer: LineWriter, log_format: LogFormat, level: str, *, lost: str
) -> structlog.typing.FilteringBoundLogger:
    """Return a logger of the same kind for another writer; `lost` is the event that lines were lost."""
    processors = _processors(log_format, colors=False)

    def encoded(line: str) -> bytes:
        return f"{line}\n".encode("utf-8", "backslashreplace")

    writer.notice = _notice(processors, lost, encoded)
    return _logger(lambda line: writer.write(encoded(line)), processors, level)


def _processors(log_format: LogFormat, *, colors: bool) -> list[structlog.typing.Processor]:
    return [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper("iso"),
        _add_connection,
        _format_traceback,
        _make_harmless,
        _fitting(_renderer(log_format, colors=colors)),
    ]


def _notice(
    processors: list[structlog.typing.Processor], event: str, encode: Callable[[str], bytes]
) -> Callable[[int], bytes]:
    """Return a function that renders the event that lines were lost."""

    def notice(lost: int) -> bytes:
        entry: Any = {"event": event, "lines": lost}
        for process in processors:
            entry = process(None, "warning", entry)
        return encode(entry)

    return notice


def _logger(
    write: Callable[[str], None], processors: list[structlog.typing.Processor], level: str
) -> structlog.typing.FilteringBoundLogger:
    log: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
        _Lines(write),
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
    )
    return log


def tell(message: str) -> None:
    """Write one line to standard error, or nothing if that is gone; wait a short time for it."""
    _write(message)
    flush_log()


def flush_log() -> None:
    """Wait until standard error has all lines, `FLUSH_TIMEOUT_S` at most."""
    writer = _standard_error()
    if writer is not None:
        writer.flush(FLUSH_TIMEOUT_S)


def _write(line: str) -> None:
    writer = _standard_error()
    if writer is not None:
        writer.write(_encoded(line))
    elif sys.stderr is not None and not _has_descriptor(sys.stderr):
        sys.stderr.write(f"{line}\n")


def _encoded(line: str) -> bytes:
    return f"{line}\n".encode(getattr(sys.stderr, "encoding", None) or "utf-8", "backslashreplace")


def _standard_error() -> LineWriter | None:
    """Return a writer to standard error; None if there is none, or it has no descriptor."""
    return _writer_to(sys.stderr.fileno()) if _has_descriptor(sys.stderr) else None


def _has_descriptor(stream: TextIO | None) -> TypeGuard[TextIO]:
    try:
        return stream is not None and stream.fileno() >= 0
    except ValueError:  # it is closed, or in memory
        return False


@cache
def _writer_to(fd: int) -> LineWriter | None:
    """Return a writer to a copy of a descriptor: its number may be used again.

    Return None for a listening socket: it was inherited to be served.
    """
    if is_listening(fd):
        return None
    atexit.register(flush_log)
    return LineWriter(os.dup(fd), lambda lost: b"lost lines: %d\n" % lost)


def harmless(text: str, limit: int = MAX_TOLD) -> str:
    """Return at most `limit` characters of a text, with all that does not print escaped."""
    escaped = printable(text[:limit])
    return escaped if len(text) <= limit else f"{escaped}..."


def _add_connection(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Name the connection whose handler is running, if one is."""
    connection = current_connection.get()
    if connection is not None:
        event.setdefault("connection", connection.id)
    return event


def _format_traceback(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace `exc_info` by text."""
    if error := event.pop("exc_info", None):
        formatted = traceback.TracebackException(*error, limit=-_MAX_FRAMES, compact=True)
        event["exception"] = "".join(formatted.format())
    return event


def _make_harmless(_: object, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {harmless(name): _harmless_value(name, value) for name, value in event.items()}


def _harmless_value(name: str, value: object) -> object:
    if isinstance(value, int | float):
        return value
    if name in _BLOCKS:
        return _harmless_block(str(value))
    return harmless(str(value), _MAX_EVENT if name == "event" else MAX_TOLD)


def _harmless_block(text: str) -> str:
    """Return a text of several lines. Each is indented, so that none looks like an event."""
    lines = text.rstrip("\n").split("\n")
    if len(lines) > _MAX_LINES:
        half = _MAX_LINES // 2
        lines[half:-half] = [f"... and {len(lines) - _MAX_LINES} more lines ..."]
    return "\n".join(f"    {harmless(line, _MAX_LINE)}" for line in lines)


def _renderer(log_format: LogFormat, *, colors: bool) -> structlog.typing.Processor:
    if log_format is LogFormat.JSON:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(colors=colors, sort_keys=False)


def _fitting(render: structlog.typing.Processor) -> structlog.typing.Processor:
    """Return a renderer whose lines can each be written in one piece."""

    def rendered(logger: Any, method: str, event: MutableMapping[str, Any]) -> Any:
        limit = MAX_TOLD
        while True:
            text = render(logger, method, dict(event))
            assert isinstance(text, str)  # noqa: S101 - so it is with both renderers
            if max(len(line.encode()) for line in text.split("\n")) < MAX_LINE or not limit:
                return text
            block = max(_BLOCKS & event.keys(), key=lambda name: len(event[name]), default="event")
            lines = event[block].split("\n")
            if len(lines) > 1:
                event[block] = "\n".join(["    ...", *lines[len(lines) // 2 + 1 :]])
            else:
                limit //= 2
                event = {name: _shortened(value, limit) for name, value in event.items()}

    return rendered


def _shortened(value: object, limit: int) -> object:
    return f"{value[:limit]}..." if isinstance(value, str) and len(value) > limit else value


class _Lines:
    """The sink that structlog writes its lines to."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = self.critical = write
