"""Bugs in strict CR LF."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a bare LF is payload",
        "line_buffer",
        "    lf = source.find(LF, start, stop)\n",
        "    lf = -1\n",
    ),
    Bug(
        "a bare CR is payload",
        "line_buffer",
        "    cr = source.find(CR, start, stop if lf < 0 else lf)\n",
        "    cr = -1\n",
    ),
    Bug(
        "a bare LF is payload behind the first line of a block",
        "line_buffer",
        r'rb"\r(?!\n)|\n(?<!\r\n)"',
        r'rb"\r(?!\n)"',
    ),
    Bug(
        "a bare CR is payload behind the first line of a block",
        "line_buffer",
        r'rb"\r(?!\n)|\n(?<!\r\n)"',
        r'rb"\n(?<!\r\n)"',
    ),
    Bug(
        "a CR at the end of the input is waited with for ever",
        "line_buffer",
        "return stop - 1 if not ended and source[stop - 1 : stop] == CR else stop",
        "return stop - 1 if source[stop - 1 : stop] == CR else stop",
    ),
    Bug(
        "the CR of a line's end counts against the limit",
        "line_buffer",
        "found = source.find(CRLF, seen, max_line + len(CRLF))",
        "found = source.find(CRLF, seen, max_line + 1)",
    ),
    Bug(
        "a line with CR LF may be a byte longer than the limit",
        "line_buffer",
        "found = source.find(CRLF, seen, max_line + len(CRLF))",
        "found = source.find(CRLF, seen, max_line + 3)",
    ),
    Bug(
        "a line that is too long is called one with a bare CR",
        "line_buffer",
        "bare = _first_of_either(source, seen, min(stop, max_line))",
        "bare = _first_of_either(source, seen, stop)",
    ),
    Bug(
        "a CR LF that is cut is not found",
        "line_buffer",
        "    return Found(stop, 0) if ended else Found(0, stop)\n",
        "    return Found(stop, 0) if ended else Found(0, len(source))\n",
    ),
    Bug(
        "a last line is taken whatever is in it",
        "line_buffer",
        "if ended and not bare and len(source) - end <= max_line and not source.endswith(CR):",
        "if ended and len(source) - end <= max_line:",
    ),
    Bug(
        "a piece ends within CR LF",
        "line_buffer",
        "min(len(source), max_bytes), ended=ended and not full)",
        "min(len(source), max_bytes), ended=ended or full)",
    ),
    Bug(
        "streamed pieces contain a bare LF",
        "client_first",
        "    if bare:\n        stop = bare.start()\n",
        "    if bare:\n        stop = bare.end()\n",
    ),
)
