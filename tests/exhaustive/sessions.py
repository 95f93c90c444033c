"""`LineSession` against a model of some lines: every input, cut, limit, order and policy."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Self

from caas_trio import (
    BareTerminator,
    First,
    LineBuffer,
    LineSession,
    LineTooLong,
    Oversize,
    Service,
    Terminator,
)

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
    terminator: Terminator

    def session(self) -> LineSession:
        """Return a new session."""
        return LineSession(
            self.service,
            self.first,
            PROMPT,
            self.max_line,
            self.oversize,
            once=self.once,
            terminator=self.terminator,
        )


def settings(limits: range) -> list[Setting]:
    """Return every combination there is, with these values of `max_line`.

    The order does not depend on what ends a line, so CR LF is tried in one order.
    """
    every = itertools.product((bytes.upper, by_line), First, limits, Oversize, (False, True), Terminator)
    chosen = [Setting(*each) for each in every]
    return [each for each in chosen if each.terminator is Terminator.LF or each.first is First.CLIENT]


class Model:
    """What a client of a line server receives, byte by byte; lines end with LF.

    Attributes:
        closing: whether the server has said its last.
        oversize_lines: how many lines have been too long.
        ended_lines: how many have ended.
    """

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.line = b""
        self.is_long = False
        self.closing = False
        self.oversize_lines = 0
        self.ended_lines = 0

    @property
    def is_within_line(self) -> bool:
        """Whether a line has been begun."""
        return self.line != b""

    def key(self) -> Hashable:
        """Return what the replies to what follows depend on."""
        return b"" if self.is_long else self.line, self.is_long

    def fork(self) -> Self:
        """Return a copy."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        return copy

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
            reply = self._refuse(LineTooLong(setting.max_line))
        elif ends and not self.is_long:
            reply = self.line.upper()
        self.is_long |= begins_to_be_long
        if ends:
            self._end_line()
        return reply

    def end_of_input(self) -> bytes:
        """Return the reply to a last line without a terminator."""
        self.closing = True
        return b"" if self.is_long else self.line.upper()

    def _refuse(self, error: Exception) -> bytes:
        self.oversize_lines += isinstance(error, LineTooLong)
        self.closing |= self.setting.once or self.setting.oversize is not Oversize.DISCARD
        return b"error: %s%s" % (str(error).encode(), self.setting.terminator.value)

    def _end_line(self) -> None:
        self.line, self.is_long = b"", False
        self.ended_lines += 1
        self.closing |= self.setting.once


class StrictModel(Model):
    """The same where lines end with CR LF, and half of it is an error."""

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.dropped: bytes | None = None  # the end of what is dropped of a line that was refused

    @property
    def is_within_line(self) -> bool:
        """Whether a line has been begun."""
        return self.line != b"" or self.dropped is not None

    def key(self) -> Hashable:
        """Return what the replies to what follows depend on."""
        return self.line[-1:] == b"\r" if self.is_long else self.line, self.is_long, self.dropped

    def receive(self, byte: bytes) -> bytes:
        """Return the reply to one byte."""
        if self.closing:
            return b""
        if self.dropped is not None:
            self.dropped = (self.dropped + byte)[-2:]
            if self.dropped == b"\r\n":
                self._end_line()
            return b""
        if self.line.endswith(b"\r") != (byte == b"\n"):
            return self._refuse_half(byte)
        self.line += byte
        if byte == b"\n":
            reply = b"\r\n" if self.is_long else self.line.upper()
            self._end_line()
            return reply
        return b"" if byte == b"\r" else self._receive_payload(byte)

    def _receive_payload(self, byte: bytes) -> bytes:
        if len(self.line) <= self.setting.max_line and not self.is_long:
            return b""
        if self.setting.oversize is not Oversize.STREAM:
            self.dropped = b""
            return self._refuse(LineTooLong(self.setting.max_line))
        reply = byte.upper() if self.is_long else self.line.upper()
        self.is_long = True
        return reply

    def end_of_input(self) -> bytes:
        """Return the reply to a last line without a terminator; a CR there is half of one."""
        self.closing = True
        if self.dropped is not None:
            return b""
        return self._refuse_half(b"") if self.line.endswith(b"\r") else super().end_of_input()

    def _refuse_half(self, byte: bytes) -> bytes:
        is_cr = self.line.endswith(b"\r")
        self.dropped = byte if is_cr else b""
        payload, limit = len(self.line) - is_cr, self.setting.max_line
        if payload < limit or self.setting.oversize is Oversize.STREAM:
            return self._refuse(BareTerminator(b"\r" if is_cr else b"\n"))
        return self._refuse(LineTooLong(limit))

    def _end_line(self) -> None:
        super()._end_line()
        self.dropped = None


class Conversation(Pair):
    """A session that has been opened, and the model."""

    __slots__ = ("_last_line", "_model", "_session", "_silent_so_far")

    def __init__(self, setting: Setting) -> None:
        self._session = setting.session()
        self._model = (Model if setting.terminator is Terminator.LF else StrictModel)(setting)
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
            model.key(),
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
        assert (now != 0) is model.is_within_line, "whether a line is unfinished"
        if not now:
            return
        if model.ended_lines > was.ended_lines or not was.is_within_line:
            assert now != before, "a new line has the number of one before it"
        elif setting.oversize is not Oversize.STREAM or not model.is_long:
            assert now == before, "the number of a line has changed within it"
        elif was.is_long and len(chunk) > setting.max_line:  # a CR at its end waits
            assert now != before, "a line has kept its number for `max_line` bytes"
        self._last_line = now

    def _compare(self, reply: bytes, expected: bytes) -> None:
        session, model = self._session, self._model
        assert reply == expected, f"{reply!r} is not {expected!r}"
        assert session.closing == model.closing, "closing"
        assert session.oversize_lines == model.oversize_lines, "oversize_lines"
