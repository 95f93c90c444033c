"""Commands, which are lines without their terminators, and bodies of lines: `Commands`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from caas_trio.core.dotstuffing import DOT
from caas_trio.core.errors import BareTerminator, CountRefused, InputEnded, LineTooLong, PeerError
from caas_trio.core.terminator import LF

if TYPE_CHECKING:
    from .connection import Connection


class Commands:
    """Yields lines without their terminators; see `Connection.commands`.

    Attributes:
        tail: what came behind the last terminator before the input ended; b"" so far.
        count: how many lines have been returned.
    """

    def __init__(
        self,
        connection: Connection,
        too_long: bytes | None,
        max_too_long: int | None,
        max_commands: int | None,
    ) -> None:
        self.tail = b""
        self.count = 0
        self._connection = connection
        self._too_long = too_long
        self._answers_left = max_too_long
        self._max_commands = max_commands

    def __aiter__(self) -> Commands:
        return self

    async def __anext__(self) -> bytes:
        """Return the next line without its terminator; raises as `Connection.receive_line` does."""
        if self.count == self._max_commands:
            raise StopAsyncIteration
        connection = self._connection
        while True:
            try:
                line = connection.take_line() or await connection.receive_line()
            except LineTooLong:
                if self._too_long is None or self._answers_left == 0:
                    raise
                if self._answers_left is not None:
                    self._answers_left -= 1
                await connection.send(self._too_long)
                continue
            if line.endswith(LF):
                self.count += 1
                return line[: -len(connection.terminator.value)]
            self.tail = line or self.tail
            raise StopAsyncIteration


async def receive_dot_stuffed(connection: Connection, limit: int) -> bytes:
    """Return a body; see `Connection.receive_dot_stuffed`."""
    body = bytearray()
    size = 0
    objection: PeerError | None = None
    end = DOT + connection.terminator.value
    while True:
        try:
            line = await connection.receive_line()
        except (LineTooLong, BareTerminator) as error:
            objection = objection or error
            continue
        if line == end:
            break
        if not line.endswith(LF):
            lost = InputEnded(None, size + len(line))
            lost.connection = connection
            raise lost
        size += len(line) - line.startswith(DOT)
        if objection is not None or size > limit:
            body.clear()
        else:
            body += line.removeprefix(DOT)
    if objection is None and size > limit:
        objection = CountRefused(size, limit)
        objection.connection = connection
    if objection is not None:
        raise objection
    return bytes(body)
