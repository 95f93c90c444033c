"""`LineSession` against a model of a dozen lines: every input, cut, limit, order and policy."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Self

from caas_trio import First, LineBuffer, LineSession, Oversize, Service

from .explore import Pair, Slots, chunks

#: What ends a line, what may come before it, what a service changes, and what it does not.
ALPHABET = b"\n\ra-"
PROMPT = b"prompt\n"

_SESSION = Slots(LineSession, without=("_buffer", "_buffers", "oversize_lines"))
_BUFFER = Slots(LineBuffer, arrays=("_buffer",), without=("_finished", "oversize_lines"))


def by_line(line: bytes) -> bytes:
    """Return the capitals of a line, from a service that is not known to be bytewise."""
    return line.upper()


@dataclass(frozen=True)
class Setting:
    """What a session is made with."""

    service: Service
    first: First
    max_line: int
    oversize: Oversize
    once: bool

    def session(self) -> LineSession:
        """Return a new session."""
        return LineSession(self.service, self.first, PROMPT, self.max_line, self.oversize, once=self.once)


def settings(limits: range) -> list[Setting]:
    """Return every combination there is, with these values of `max_line`."""
    every = itertools.product((bytes.upper, by_line), First, limits, Oversize, (False, True))
    return [Setting(*each) for each in every]


@dataclass(slots=True)
class Model:
    """What a client of a line server hears, byte by byte."""

    setting: Setting
    line: bytes = b""
    is_long: bool = False
    closing: bool = False
    oversize_lines: int = 0

    def fork(self) -> Model:
        """Return a copy."""
        return Model(self.setting, self.line, self.is_long, self.closing, self.oversize_lines)

    def receive(self, byte: bytes) -> bytes:
        """Return the reply to one byte."""
        if self.closing:
            return b""
        setting, ends, reply = self.setting, byte == b"\n", b""
        self.line += byte
        begins_to_be_long = len(self.line) - ends > setting.max_line and not self.is_long
        if setting.oversize is Oversize.STREAM:
            if self.is_long:
                reply = byte.upper()
            elif begins_to_be_long or ends:
                reply = self.line.upper()
        elif begins_to_be_long:
            reply = b"error: line longer than %d bytes\n" % setting.max_line
            self.oversize_lines += 1
            self.closing = setting.once or setting.oversize is Oversize.REJECT
        elif ends and not self.is_long:
            reply = self.line.upper()
        self.is_long |= begins_to_be_long
        if ends:
            self.line, self.is_long = b"", False
            self.closing |= setting.once
        return reply

    def end_of_input(self) -> bytes:
        """Return the reply to a last line without a terminator."""
        self.closing = True
        return b"" if self.is_long else self.line.upper()


class Conversation(Pair):
    """A session that has been opened, and the model."""

    __slots__ = ("_last_line", "_model", "_session", "_silent_so_far")

    def __init__(self, setting: Setting) -> None:
        self._session = setting.session()
        self._model = Model(setting)
        self._silent_so_far = True
        self._last_line = 0  # the number of the line that was unfinished last
        greeting = self._session.open()
        assert greeting == (PROMPT if setting.first is First.SERVER else b"")

    def key(self) -> Hashable:
        """Return the state of both."""
        session, model, buffer = self._session, self._model, self._session._buffer
        return (
            _SESSION.state(session),
            None if buffer is None else _BUFFER.state(buffer),
            b"" if model.is_long else model.line,
            model.is_long,
            self._silent_so_far,
            self._last_line != 0,
        )

    def steps(self, remaining: int) -> Iterator[tuple[int, Self]]:
        """Take each step that fits."""
        if self._session.closing:
            return
        models = {b"": (self._model, b"")}  # by input: the model after it, and what it has said
        for chunk in chunks(ALPHABET, remaining):
            self.attempted = ("receive", chunk)
            before, heard = models[chunk[:-1]]
            model = before.fork()
            models[chunk] = (model, heard + model.receive(chunk[-1:]))
            pair = self._fork(model)
            pair._receive(chunk, models[chunk][1], self._model)
            yield len(chunk), pair
        self.attempted = ("end_of_input",)
        pair = self._fork(self._model.fork())
        pair._compare(pair._session.end_of_input(), pair._model.end_of_input())
        yield 0, pair
        awaited = self._silent_so_far and self._model.setting.first is First.EITHER
        assert self._session.awaits_silence is awaited
        if awaited:
            self.attempted = ("silence",)
            pair = self._fork(self._model.fork())
            pair._silent_so_far = False
            pair._compare(pair._session.silence(), PROMPT)
            yield 0, pair

    def _fork(self, model: Model) -> Self:
        copy = object.__new__(type(self))
        copy._session = _SESSION.fork(self._session)
        if self._session._buffer is not None:
            copy._session._buffer = _BUFFER.fork(self._session._buffer)
        copy._model = model
        copy._silent_so_far = self._silent_so_far
        copy._last_line = self._last_line
        return copy

    def _receive(self, chunk: bytes, expected: bytes, was: Model) -> None:
        self._silent_so_far = False
        model, setting = self._model, self._model.setting
        self._compare(self._session.receive(chunk), expected)
        if self._session.closing:
            return
        before, now = self._last_line, self._session.unfinished
        assert (now != 0) is (model.line != b""), "whether a line is unfinished"
        if not now:
            return
        if b"\n" in chunk or not was.line:
            assert now != before, "a new line has the number of one before it"
        elif setting.oversize is not Oversize.STREAM or not model.is_long:
            assert now == before, "the number of a line has changed within it"
        elif was.is_long and len(chunk) >= setting.max_line:
            assert now != before, "a line has kept its number for `max_line` bytes"
        self._last_line = now

    def _compare(self, reply: bytes, expected: bytes) -> None:
        session, model = self._session, self._model
        assert reply == expected, f"{reply!r} is not {expected!r}"
        assert session.closing == model.closing, "closing"
        assert session.oversize_lines == model.oversize_lines, "oversize_lines"
