"""A trace for people: `as_text`, `rows`, and `page`, which shows several in a browser.

It loads no trio.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Final, TypedDict

from .kernel import TraceEvent

#: How many bytes of what was sent are shown, and how many events.
_MAX_BYTES: Final = 60
_MAX_ROWS: Final = 200


class Timeline(TypedDict):
    """One test on the page; it can be written as JSON.

    Attributes:
        title: which test, and how it has ended.
        repeat: the command that runs it again.
        rows: as `rows` returns them.
    """

    title: str
    repeat: str
    rows: list[list[str]]


def rows(trace: Sequence[TraceEvent]) -> list[list[str]]:
    """Return time, place, event and bytes of each event as texts; of many, the last ones."""
    shown = [
        [f"{each.time:.6f}", _place(each.where), each.what, _data(each.data)] for each in trace[-_MAX_ROWS:]
    ]
    left_out = len(trace) - len(shown)
    return [["", "", f"{left_out} earlier events are left out", ""], *shown] if left_out else shown


def as_text(trace: Sequence[TraceEvent]) -> str:
    """Return a trace as lines: the time in seconds, the connection, what happened to it, and the bytes."""
    return "\n".join(
        f"  {time:>12}  {place:<26}  {what:<10}  {data}".rstrip() for time, place, what, data in rows(trace)
    )


def page(timelines: Iterable[Timeline]) -> str:
    """Return an HTML page that shows timelines, without anything to load or to run."""
    return _PAGE.format(body="\n".join(map(_section, timelines)) or "<p>No test has used a network.</p>")


def _place(where: str) -> str:
    """Return which connection and which way it is, or the name of the link or the datagram socket."""
    number, way = where[:-1], where[-1:]
    if number.isdecimal():
        ends = "client to server" if way == ">" else "server to client"
        return f"connection {number}, {ends}"
    return where


def _data(data: bytes) -> str:
    if len(data) <= _MAX_BYTES:
        return repr(data) if data else ""
    return f"{data[:_MAX_BYTES]!r} and {len(data) - _MAX_BYTES} more bytes"


def _section(timeline: Timeline) -> str:
    lines = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in timeline["rows"]
    )
    return (
        f"<section><h2>{html.escape(timeline['title'])}</h2>\n<p><code>{html.escape(timeline['repeat'])}</code></p>\n"
        f"<table><tr><th>seconds</th><th>where</th><th>what</th><th>bytes</th></tr>\n{lines}</table></section>"
    )


_PAGE: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Timelines</title>
<style>
body {{ font-family: sans-serif; margin: 2em; }}
table {{ border-collapse: collapse; }}
td, th {{ padding: 0.1em 0.8em; text-align: left; border-bottom: 1px solid #ddd; }}
td {{ font-family: monospace; }}
</style>
</head>
<body>
<h1>Timelines</h1>
{body}
</body>
</html>
"""
