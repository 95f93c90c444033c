"""Clients that know what is due to them: `loading`, and what became of them, `Tally`."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count

import trio

from .background import PATIENCE

#: What a server that speaks first says: who it is.
GREETING = re.compile(rb"this is (\w+)\n")
#: Seconds that a client of short conversations pauses between them, and one of a long one between lines.
PAUSE, PACE = 0.02, 0.05
UNANSWERED = "ended without an answer"


@dataclass(frozen=True)
class Front:
    """Where clients connect.

    Attributes:
        address: where it is; host and port.
        greets: whether the servers behind it speak first.
    """

    address: tuple[str, int]
    greets: bool


@dataclass
class Tally:
    """What became of the conversations that began in some time.

    Attributes:
        short: short conversations that went as they should.
        lines: lines of long ones that were answered.
        ended: how often a long one was ended while its client was not waiting for an answer.
        crossed: how often it was ended just as a line was on its way; the client asked again.
        broken: conversations that did not go as they should, by server (if it was heard) and reason.
        slowest: of the short ones, in seconds.
        over: whether no more are to begin.
    """

    short: int = 0
    lines: int = 0
    ended: int = 0
    crossed: int = 0
    broken: Counter[tuple[str, str]] = field(default_factory=Counter)
    slowest: float = 0.0
    over: bool = False


class BrokenConversationError(Exception):
    """A conversation did not go as it should; the message says what came instead."""


class Client:
    """A connection to a front, and the server behind it as far as that is known."""

    def __init__(self, front: Front) -> None:
        self.front = front
        self.server = ""
        self._heard = b""

    async def connect(self) -> None:
        """Connect, and be greeted where that is the custom."""
        self.stream = await trio.open_tcp_stream(*self.front.address)
        if self.front.greets:
            greeting = GREETING.fullmatch(await self.line())
            if greeting is None:
                raise BrokenConversationError("not greeted")
            self.server = greeting[1].decode()

    async def ask(self, line: bytes, *, last: bool = False) -> None:
        """Send a line, the last one with the end of the input behind it; see that the answer is right."""
        await self.stream.send_all(line)
        if last:
            await self.stream.send_eof()
        answer = await self.line()
        if last:
            answer += await self.line()
        if answer != line.upper():
            raise BrokenConversationError(f"heard {answer!r}" if answer else UNANSWERED)

    async def line(self) -> bytes:
        """Return the next line; what there is of it at the end of the stream."""
        while b"\n" not in self._heard and (data := await self.stream.receive_some()):
            self._heard += data
        line, end, self._heard = self._heard.partition(b"\n")
        return line + end

    async def is_ended(self) -> bool:
        """Wait for the next line's turn; return whether the server has ended the conversation meanwhile."""
        with trio.move_on_after(PACE * random.uniform(0.5, 1.5)):  # noqa: S311 - out of step is enough
            return not await self.line()
        return False


@asynccontextmanager
async def loading(fronts: Sequence[Front], short: int, long: int) -> AsyncIterator[Tally]:
    """Put load on fronts, with so many clients each; the conversations are over after the block."""
    tally = Tally()
    async with trio.open_nursery() as nursery:
        for front in fronts:
            for number in range(short):
                nursery.start_soon(_converse_for_short, front, tally, bool(number % 2))
            for _ in range(long):
                nursery.start_soon(_converse_for_long, front, tally)
        yield tally
        tally.over = True


async def _converse_for_short(front: Front, tally: Tally, ends_input: bool) -> None:  # noqa: FBT001 - two kinds
    for number in count():
        if tally.over:
            return
        client, begun = Client(front), trio.current_time()
        try:
            with trio.fail_after(PATIENCE):
                await client.connect()
                async with client.stream:
                    await client.ask(b"line %d\n" % number, last=ends_input)
        except _FAULTS as error:
            tally.broken[client.server, _why(error)] += 1
        else:
            tally.short += 1
            tally.slowest = max(tally.slowest, trio.current_time() - begun)
        await trio.sleep(PAUSE)


async def _converse_for_long(front: Front, tally: Tally) -> None:
    """Ask line after line, on a new connection whenever one has been ended."""
    while not tally.over:
        client = Client(front)
        try:
            await client.connect()
            async with client.stream:
                while not tally.over:
                    await client.ask(b"line %d\n" % tally.lines)
                    tally.lines += 1
                    if await client.is_ended():
                        tally.ended += 1
                        break
        except _FAULTS as error:
            if str(error) == UNANSWERED:
                tally.crossed += 1
            else:
                tally.broken[client.server, _why(error)] += 1
            await trio.sleep(PACE)


_FAULTS = (OSError, BrokenConversationError, trio.BrokenResourceError, trio.TooSlowError)


def _why(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else None
    return str(cause or error) or type(error).__name__
