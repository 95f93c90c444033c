"""The expected results of a handler's calls: `Expecting`, beside a model of what has arrived."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

from caas_trio.core.errors import BareTerminator, CountRefused, InputEnded, LineTooLong, PeerError, TooSlow
from caas_trio.core.terminator import Terminator
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.wanted import READ_AHEAD
from tests.models import NaiveLineBuffer as Model

from .arriving import GIVEN_UP, SHORT_WAIT_S, Arriving

#: What a call gives, or the text of what it raises.
Outcome: TypeAlias = bytes | str | None

#: How many bytes are read at most, where their number may be refused.
MAX_COUNT: Final = 4


class Expecting:
    """The expected results of calls, in turn.

    Args:
        arriving: what has arrived.
        drain: that of the connection.
        terminator: what ends a line.
        count: the number that calls are given.
        too_long: what answers a command that is too long; b"" for nothing.
        max_too_long: how many are answered.
        max_commands: how many commands there are.

    Attributes:
        sent: what commands are answered with: all of it so far.
        tail: what came behind the last terminator.
    """

    def __init__(
        self,
        arriving: Arriving,
        drain: Drain,
        terminator: Terminator,
        count: int,
        *,
        too_long: bytes,
        max_too_long: int,
        max_commands: int,
    ) -> None:
        self._arriving = arriving
        self._drain = drain
        self._terminator = terminator
        self._count = count
        self._too_long = too_long
        self._answers_left = max_too_long if too_long else 0
        self._commands_left = max_commands
        self.sent = b""
        self.tail = b""

    def line(self) -> Outcome:
        """Return the next line."""
        taken = self._arriving.taken(lambda model: model.next_line(), SHORT_WAIT_S)
        return b"" if taken is None else taken

    def command(self) -> Outcome:
        """Return the next command; None at the end."""
        if not self._commands_left:
            return None
        while True:
            try:
                line = self.line()
            except LineTooLong:
                if not self._answers_left:
                    raise
                self._answers_left -= 1
                self.sent += self._too_long
                continue
            if isinstance(line, bytes) and line.endswith(b"\n"):
                self._commands_left -= 1
                return line.removesuffix(self._terminator.value)
            if isinstance(line, bytes):
                self.tail = line or self.tail
                return None
            return line

    def body(self) -> Outcome:
        """Return a body, of as many bytes as there may be."""
        lines: list[bytes] = []
        objection: Exception | None = None
        while True:
            try:
                line = self.line()
            except (LineTooLong, BareTerminator) as error:
                objection = objection or error
                continue
            if not isinstance(line, bytes):
                return line
            if line == b"." + self._terminator.value:
                break
            text = line.removeprefix(b".")
            if not line.endswith(b"\n"):
                raise InputEnded(None, sum(map(len, lines)) + len(line))
            lines.append(text)
        body = b"".join(lines)
        if objection is None and len(body) > self._count:
            objection = CountRefused(len(body), self._count)
        if objection is not None:
            raise objection
        return body

    def skipped(self) -> Outcome:
        """Drop bytes; return None."""
        left = self._count

        def drop(model: Model) -> bytes | None:
            nonlocal left
            left -= len(model.take_some(left)) if left else 0
            return None if left else b""

        outcome = self._arriving.taken(drop, SHORT_WAIT_S)
        if outcome is None:
            raise InputEnded(self._count, self._count - left)
        return outcome or None

    def refused(self) -> Outcome:
        """Return bytes, if they are no more than `MAX_COUNT`."""
        if self._count > 4:
            raise CountRefused(self._count, 4)
        outcome = self._arriving.taken(lambda model: model.take_exactly(self._count), SHORT_WAIT_S)
        if outcome is None:
            raise InputEnded(self._count, len(self._arriving.model.rest))
        return outcome

    def input_end(self) -> Outcome:
        """Return None once the input has ended, or the drain has begun."""

        def look(model: Model) -> bytes | None:
            return b"" if len(model.rest) >= READ_AHEAD else None

        outcome = self._arriving.taken(look, SHORT_WAIT_S)
        return GIVEN_UP if outcome == b"" and not self._drain.begun else outcome or None


def told(expect: Callable[[], Outcome]) -> Outcome:
    """Return what is expected, be it an error."""
    try:
        return expect()
    except (LineTooLong, BareTerminator, CountRefused, InputEnded) as error:
        return _text(error)


async def outcome(call: Callable[[], Awaitable[Outcome]], wait: float) -> Outcome:
    """Return what a call gives, be it an error."""
    with trio.move_on_after(wait):
        try:
            return await call()
        except (LineTooLong, BareTerminator, CountRefused, InputEnded) as error:
            return _text(error)
        except TooSlow as error:
            return f"TooSlow: {error.limit}"
    return GIVEN_UP


def _text(error: PeerError) -> str:
    return f"{type(error).__name__}: {error}"
