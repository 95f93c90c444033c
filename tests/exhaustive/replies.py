"""What a client of a line server hears: a model of some lines, and its `Replies` to every chunk."""

from __future__ import annotations

import enum
from collections.abc import Hashable
from dataclasses import dataclass
from typing import NamedTuple, Self

from caas_trio import BareTerminator, LineTooLong, Oversize, Terminator

from .explore import chunks

#: What ends a line, what may come before it, what a service changes, and what it does not.
ALPHABET = b"\n\ra-"


@dataclass(frozen=True)
class Policy:
    """What the replies depend on, beside what the client sends."""

    max_line: int
    oversize: Oversize
    once: bool
    terminator: Terminator


class Model:
    """What a client of a line server receives, byte by byte; lines end with LF.

    Attributes:
        closing: whether the server has said its last.
        oversize_lines: how many lines have been too long.
        ended_lines: how many have ended.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
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
        policy, ends, reply = self.policy, byte == b"\n", b""
        self.line += byte
        begins_to_be_long = len(self.line) - ends > policy.max_line and not self.is_long
        if policy.oversize is Oversize.STREAM:
            if self.is_long:
                reply = byte.upper()
            elif begins_to_be_long or ends:
                reply = self.line.upper()
        elif begins_to_be_long:
            reply = self._refuse(LineTooLong(policy.max_line))
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
        self.closing |= self.policy.once or self.policy.oversize is not Oversize.DISCARD
        return b"error: %s%s" % (str(error).encode(), self.policy.terminator.value)

    def _end_line(self) -> None:
        self.line, self.is_long = b"", False
        self.ended_lines += 1
        self.closing |= self.policy.once


class StrictModel(Model):
    """The same where lines end with CR LF, and half of it is an error."""

    def __init__(self, policy: Policy) -> None:
        super().__init__(policy)
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
        if len(self.line) <= self.policy.max_line and not self.is_long:
            return b""
        if self.policy.oversize is not Oversize.STREAM:
            self.dropped = b""
            return self._refuse(LineTooLong(self.policy.max_line))
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
        payload, limit = len(self.line) - is_cr, self.policy.max_line
        if payload < limit or self.policy.oversize is Oversize.STREAM:
            return self._refuse(BareTerminator(b"\r" if is_cr else b"\n"))
        return self._refuse(LineTooLong(limit))

    def _end_line(self) -> None:
        super()._end_line()
        self.dropped = None


class Number(enum.Enum):
    """What becomes of the number of the line that is being received."""

    ABSENT = "no line is unfinished"
    OTHER = "another one: for a new line, or behind `max_line` bytes of a streamed one"
    SAME = "the same: it is the same line"
    ANY = "the one or the other"


class Reply(NamedTuple):
    """What a step comes to.

    Attributes:
        heard: what the client hears.
        closing: whether the server has said its last.
        oversize_lines: how many lines of it have been too long.
        number: what becomes of the number of the line.
        after: the state of the model after it.
    """

    heard: bytes
    closing: bool
    oversize_lines: int
    number: Number
    after: Hashable


class Replies:
    """The model's replies to every chunk, found once for each of its states: they depend on nothing else."""

    def __init__(self, policy: Policy) -> None:
        model = (Model if policy.terminator is Terminator.LF else StrictModel)(policy)
        self.policy = policy
        self.first = model.key()
        self._models = {self.first: model}
        self._known: dict[Hashable, list[Reply]] = {}

    def to_chunks(self, state: Hashable, length: int) -> list[Reply]:
        """Return the replies to all chunks of 1 to `length` bytes, or more: in the order of `chunks`."""
        fed = chunks(ALPHABET, length)
        known = self._known.get(state, [])
        if len(known) < len(fed):
            known = self._known[state] = self._to_chunks(self._models[state], fed)
        return known

    def to_end(self, state: Hashable) -> Reply:
        """Return the reply to the end of input."""
        was = self._models[state]
        model = was.fork()
        return self._reply(was, model, b"", model.end_of_input())

    def _to_chunks(self, was: Model, fed: list[bytes]) -> list[Reply]:
        replies: list[Reply] = []
        models = {b"": (was, b"")}  # by input: the model after it, and what it has said
        for chunk in fed:
            before, heard = models[chunk[:-1]]
            model = before.fork()
            heard += model.receive(chunk[-1:])
            models[chunk] = (model, heard)
            replies.append(self._reply(was, model, chunk, heard))
        return replies

    def _reply(self, was: Model, model: Model, chunk: bytes, heard: bytes) -> Reply:
        after = model.key()
        if not model.closing:  # nothing follows otherwise
            self._models.setdefault(after, model)
        refused = model.oversize_lines - was.oversize_lines
        return Reply(heard, model.closing, refused, self._number(was, model, chunk), after)

    def _number(self, was: Model, model: Model, chunk: bytes) -> Number:
        if not model.is_within_line:
            return Number.ABSENT
        if model.ended_lines > was.ended_lines or not was.is_within_line:
            return Number.OTHER
        if self.policy.oversize is not Oversize.STREAM or not model.is_long:
            return Number.SAME
        is_step = was.is_long and len(chunk) > self.policy.max_line  # a CR at its end waits
        return Number.OTHER if is_step else Number.ANY
