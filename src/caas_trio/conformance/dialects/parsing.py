"""A dialect from its TOML file; a mistake is one line that names the file, the line and the key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar

from caas_trio.core.printable import printable

from .dialect import (
    MAX_LINE,
    PAD,
    Body,
    Dialect,
    Ends,
    Exchange,
    Greeting,
    LineLimit,
    Meaning,
    Oversize,
    Pattern,
    Reply,
)
from .locating import Lines
from .locating import Path as KeyPath

_MAX_FILE: Final = 1 << 20
_TERMINATORS: Final = {"CRLF": b"\r\n", "LF": b"\n"}
#: Bytes that some servers take for the end of a line.
ENDS: Final = {"bare_lf": b"\n", "bare_cr": b"\r", "cr_cr_lf": b"\r\r\n", "nul": b"\0"}
#: What takes more than one request on a connection.
_SEVERAL_REQUESTS: Final = ("login", "end", "starttls", "body", "burst")
_LONE_DOT: Final = r"\.$"
_MAX_COUNT: Final = 10_000
_MAX_SECONDS: Final = 600
_AT_LINE: Final = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")
Kind = TypeVar("Kind")


class DialectError(Exception):
    """There is no such dialect, or its file is wrong; the message says why in one line."""


def names() -> list[str]:
    """Return the names of the dialects that come along."""
    files = resources.files(__package__).joinpath("builtin").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))


def load(declared: str) -> Dialect:
    """Return a dialect that comes along, or one from a file.

    Args:
        declared: its name, or the path of its file: what has a slash or ends in `.toml`.

    Raises:
        DialectError: there is no dialect of that name, or the file cannot be read or is wrong.
    """
    if "/" not in declared and not declared.endswith(".toml"):
        if declared not in names():
            near = difflib.get_close_matches(declared, names(), 1)
            hint = f"; is it {near[0]}?" if near else f"; there are {', '.join(names())}, or give a file"
            raise DialectError(f"no dialect is called {printable(declared)}{hint}")
        source = resources.files(__package__).joinpath("builtin", f"{declared}.toml")
        return parse(source.read_text(encoding="utf-8"), declared, declared)
    try:
        with Path(declared).open("rb") as file:
            content = file.read(_MAX_FILE + 1)
    except OSError as error:
        raise DialectError(f"{printable(declared)} cannot be read: {error.strerror}") from None
    if len(content) > _MAX_FILE:
        raise DialectError(f"{printable(declared)} has more than {_MAX_FILE} bytes")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DialectError(f"{printable(declared)}:{line}: it is not UTF-8") from None
    return parse(text, Path(declared).stem, declared)


def parse(text: str, name: str, declared: str) -> Dialect:
    """Return the dialect that a file declares.

    Args:
        text: the file.
        name: what the dialect is called if the file does not say.
        declared: what `--dialect` was given, for messages.

    Raises:
        DialectError: the file is wrong.
    """
    text = text.replace("\r\n", "\n")
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT_LINE.search(str(error))
        line = found[1] if found and found[1] else str(text.count("\n") + 1)
        reason = str(error)[: found.start()] if found else str(error)
        raise DialectError(f"{printable(declared)}:{line}: {printable(reason)}") from None
    file = _File(printable(declared), Lines(text), once=content.get("once") is True)
    return _dialect(_Table(content, (), file), name, declared)


class _File:
    """Names the place of a mistake in the file."""

    def __init__(self, name: str, lines: Lines, *, once: bool) -> None:
        self.name = name
        self.lines = lines
        #: Whether a connection has one request, as the file says at its top.
        self.once = once

    def wrong(self, path: KeyPath, reason: str) -> DialectError:
        words = ".".join(str(part + 1) if isinstance(part, int) else printable(part) for part in path)
        return DialectError(f"{self.name}:{self.lines.of(path)}: {words + ': ' if words else ''}{reason}")


class _Table:
    """One table of the file; each of its keys is read once, and a key that is never read is a mistake."""

    def __init__(self, content: dict[str, Any], path: KeyPath, file: _File) -> None:
        self._content = content
        self.path = path
        self.file = file
        self._known: list[str] = []

    def wrong(self, key: str, reason: str) -> DialectError:
        """Return the error about a key; about the table itself if that is ""."""
        return self.file.wrong((*self.path, key) if key else self.path, reason)

    def missing(self, key: str) -> DialectError:
        """Return the error about a key that is not there; it may be misspelt."""
        others = [other for other in self._content if other not in self._known]
        if near := difflib.get_close_matches(key, others, 1):
            return self.wrong(near[0], f"there is no such key; is it {key}?")
        return self.wrong("", f"{key} is missing")

    def has(self, key: str) -> bool:
        """Return whether a key is there."""
        return key in self._content

    def _value(self, key: str, kind: type[Kind], word: str) -> Kind | None:
        self._known.append(key)
        value = self._content.get(key)
        if value is None:
            return None
        # In Python True is an int; in TOML it is none.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self.wrong(key, f"it has to be {word}")
        return value

    def text(self, key: str, default: str = "") -> str:
        """Return a string."""
        value = self._value(key, str, "a string")
        return default if value is None else value

    def boolean(self, key: str, *, default: bool) -> bool:
        """Return true or false."""
        value = self._value(key, bool, "true or false")
        return default if value is None else value

    def count(self, key: str, default: int, maximum: int = _MAX_COUNT) -> int:
        """Return a number from 1."""
        value = self._value(key, int, "a whole number")
        if value is not None and not 1 <= value <= maximum:
            raise self.wrong(key, f"it has to be from 1 to {maximum}")
        return default if value is None else value

    def size(self, key: str) -> int:
        """Return a number of bytes, which has to be there."""
        if not self.has(key):
            raise self.missing(key)
        return self.count(key, 0, 1 << 24)

    def seconds(self, key: str) -> float | None:
        """Return seconds; None if they are not there."""
        is_whole = isinstance(self._content.get(key), int)
        value = self._value(key, int if is_whole else float, "a number of seconds")
        if value is not None and not 0 < value <= _MAX_SECONDS:
            raise self.wrong(key, f"it has to be more than 0 and at most {_MAX_SECONDS} seconds")
        return value

    def pattern(self, key: str) -> Pattern | None:
        """Return a regular expression; None if it is not there."""
        text = self._value(key, str, "a string, a regular expression")
        if text is None:
            return None
        try:
            return Pattern(text)
        except re.error as error:
            raise self.wrong(key, f"it is no regular expression: {printable(str(error))}") from None

    def table(self, key: str) -> _Table | None:
        """Return a table of the table; None if it is not there."""
        value = self._value(key, dict, "a table")
        return None if value is None else _Table(value, (*self.path, key), self.file)

    def tables(self, key: str) -> Iterator[_Table]:
        """Yield the tables of an array of tables."""
        value = self._value(key, list, f"an array of tables, each under [[{key}]]")
        for number, each in enumerate(value or ()):
            if not isinstance(each, dict):
                raise self.wrong(key, f"it has to be an array of tables, each under [[{key}]]")
            yield _Table(each, (*self.path, key, number), self.file)

    def reply(self, key: str = "reply") -> Reply | None:
        """Return how a reply is recognized; None if it is not there."""
        if isinstance(self._content.get(key), str):
            return Reply(first=self.pattern(key))
        table = self.table(key)
        return None if table is None else _reply(table)

    def lines(self, key: str) -> tuple[str, ...]:
        """Return the lines of a request, which have to be there."""
        value = self._content.get(key)
        self._known.append(key)
        if value is None:
            raise self.missing(key)
        lines = [value] if isinstance(value, str) else value
        if not isinstance(lines, list) or not lines or not all(isinstance(line, str) for line in lines):
            raise self.wrong(key, "it has to be a string, or several for several lines")
        if any("\n" in line or "\r" in line for line in lines):
            raise self.wrong(key, "it has an end of a line in it; several lines are several strings")
        return tuple(lines)

    def exchange(self, *, repeat: bool = False, silent: bool = False) -> Exchange:
        """Return the request and the reply; with `silent`, there may be none."""
        request, reply = self.lines("request"), self.reply()
        if reply is None and not silent:
            raise self.missing("reply")
        return Exchange(request, reply, repeat)

    def close(self) -> None:
        """Raise if a key was not asked for.

        Raises:
            DialectError: there is one.
        """
        for key in self._content:
            if key not in self._known:
                near = difflib.get_close_matches(key, self._known, 1)
                hint = f"; is it {near[0]}?" if near else f"; there are {', '.join(self._known)}"
                raise self.wrong(key, f"there is no such key{hint}")


def _reply(table: _Table) -> Reply:
    first, until, body = (table.pattern(key) for key in ("first", "until", "body"))
    dot, counted, to_end = (table.boolean(key, default=False) for key in ("dot", "counted", "to_end"))
    lines = table.count("lines", 1)
    ways = [key for key in ("until", "dot", "counted", "to_end", "lines") if table.has(key)]
    table.close()
    if len(ways) > 1:
        raise table.wrong(ways[1], f"a reply has {ways[0]} or {ways[1]}, not both")
    if first is None and until is None and not to_end:
        raise table.wrong("", "it needs first, until or to_end to be recognized by")
    if counted and (first is None or first.groups != 1):
        raise table.wrong("counted", "first needs one group, which counts the bytes that follow")
    if body is not None and not counted:
        raise table.wrong("body", "it is for a reply that is counted")
    if to_end and not table.file.once:
        raise table.wrong("to_end", "it needs once = true: the server ends the connection behind its reply")
    return Reply(first, Pattern(_LONE_DOT) if dot else until, lines, to_end, dot, counted, body)


def _dialect(table: _Table, name: str, declared: str) -> Dialect:
    probes = tuple(_probe(each) for each in table.tables("probe"))
    if not any(probe.repeat for probe in probes):
        raise table.wrong("probe", "at least one [[probe]] needs repeat = true: one that needs no state")
    timeouts = table.table("timeouts")
    dialect = Dialect(
        name=table.text("name", name),
        declared=declared,
        terminators=_terminators(table),
        probes=probes,
        standard=table.text("standard"),
        greeting=_greeting(table.table("greeting")),
        login=tuple(_closed(each) for each in table.tables("login")),
        unknown=_optional(table.table("unknown")),
        end=_optional(table.table("end"), silent=True),
        line=_line(table.table("line")),
        oversize=_oversize(table.table("oversize")),
        ends=_ends(table.table("ends")),
        body=_body(table.table("body")),
        starttls=_optional(table.table("starttls")),
        unasked=table.pattern("unasked"),
        burst=table.count("burst", 100),
        flood=table.boolean("flood", default=True),
        clients=table.count("clients", 50),
        once=table.boolean("once", default=False),
        idle_s=timeouts.seconds("idle") if timeouts else None,
        line_s=timeouts.seconds("line") if timeouts else None,
    )
    if timeouts:
        timeouts.close()
    table.close()
    _hold_together(dialect, table)
    # Where a connection has one request, it is this one that ends the conversation.
    return replace(dialect, burst=1, end=dialect.steady) if dialect.once else dialect


def _hold_together(dialect: Dialect, table: _Table) -> None:
    """Raise DialectError if what is declared contradicts itself."""
    if dialect.once and (extra := [key for key in _SEVERAL_REQUESTS if table.has(key)]):
        raise table.wrong(extra[0], "with once = true, a connection has one request")
    if dialect.oversize is not None and dialect.line is None:
        raise table.wrong("oversize", "it needs [line], whose request it makes too long")
    if dialect.oversize and dialect.line and dialect.oversize.size <= (dialect.line.size or 0):
        raise table.wrong("oversize", f"a line of {dialect.line.size} bytes is declared to be taken")


def _terminators(table: _Table) -> tuple[bytes, ...]:
    words = table.lines("terminator") if table.has("terminator") else ("CRLF",)
    if unknown := [word for word in words if word not in _TERMINATORS]:
        raise table.wrong("terminator", f"{printable(unknown[0])!r} is not one of {', '.join(_TERMINATORS)}")
    return tuple(_TERMINATORS[word] for word in words)


def _closed(table: _Table, *, silent: bool = False) -> Exchange:
    exchange = table.exchange(silent=silent)
    table.close()
    return exchange


def _optional(table: _Table | None, *, silent: bool = False) -> Exchange | None:
    return None if table is None else _closed(table, silent=silent)


def _probe(table: _Table) -> Exchange:
    exchange = table.exchange(repeat=table.boolean("repeat", default=False))
    table.close()
    return exchange


def _greeting(table: _Table | None) -> Greeting | None:
    if table is None:
        return None
    reply, early = table.reply(), table.boolean("early", default=False)
    if reply is None:
        raise table.missing("reply")
    table.close()
    return Greeting(reply, early)


def _line(table: _Table | None) -> LineLimit | None:
    if table is None:
        return None
    size = table.size("bytes") if table.has("bytes") else None
    exchange, source = table.exchange(), table.text("source")
    table.close()
    if len(exchange.request) != 1 or exchange.request[0].count(PAD) != 1:
        raise table.wrong("request", f"it has to be one line with one {PAD} in it")
    if size is not None and size > MAX_LINE:
        raise table.wrong("bytes", f"it has to be from 1 to {MAX_LINE}")
    return LineLimit(size, exchange, source)


def _oversize(table: _Table | None) -> Oversize | None:
    if table is None:
        return None
    size, reply = table.size("bytes"), table.reply()
    goes_on, source = table.boolean("goes_on", default=True), table.text("source")
    table.close()
    if reply is None and goes_on:
        raise table.wrong("", "reply is missing; without one, goes_on has to be false")
    return Oversize(size, reply, goes_on, source)


def _body(table: _Table | None) -> Body | None:
    if table is None:
        return None
    before = tuple(_closed(each) for each in table.tables("before"))
    exchange, accepted, source = table.exchange(), table.reply("accepted"), table.text("source")
    if accepted is None:
        raise table.missing("accepted")
    table.close()
    return Body(before, exchange, accepted, source)


def _ends(table: _Table | None) -> Ends:
    if table is None:
        return Ends()
    meanings = {}
    for key in ENDS:
        word = table.text(key)
        if word and word not in [meaning.value for meaning in Meaning]:
            raise table.wrong(key, "it has to be 'end' or 'payload'")
        if word:
            meanings[key] = Meaning(word)
    tail = table.text("tail")
    if tail not in ("", "request", "dropped"):
        raise table.wrong("tail", "it has to be 'request' or 'dropped'")
    source = table.text("source")
    table.close()
    return Ends(meanings, tail == "request" if tail else None, source)
