"""Clients that know what is due to them: `loading`, and what became of them, `Tally`."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import NamedTuple

import trio

from .background import TIMEOUT_S

#: What a server that speaks first says.
GREETING = "who is there?"
#: Seconds that a client of short conversations pauses between them, and one of a long one between lines.
PAUSE, PACE = 0.02, 0.05
#: Seconds, at most, that every other pair of the former waits between its connect and its line.
HANDOVER_DELAY_S = 0.05
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


class Broken(NamedTuple):
    """A conversation that did not go as it should.

    Attributes:
        port: the client's.
        when: it was over, by trio's clock.
        why: what was wrong.
    """

    port: int
    when: float
    why: str


@dataclass
class Tally:
    """The outcomes of the conversations that began in some period.

    Attributes:
        short: short conversations that went as they should.
        lines: lines of long ones that were answered.
        ended: how often a long one was ended while its client was not waiting for an answer.
        crossed: those that were ended just as a line was on its way; the client asked again.
        broken: all others that did not go as they should.
        slowest: of the short ones, in seconds.
        over: whether no more are to begin.
    """

    short: int = 0
    lines: int = 0
    ended: int = 0
    crossed: list[Broken] = field(default_factory=list)
    broken: list[Broken] = field(default_factory=list)
    slowest: float = 0.0
    over: bool = False


class BrokenConversationError(Exception):
    """A conversation did not go as it should; the message says what came instead."""


class Client:
    """A client of a front.

    Attributes:
        port: its own, once it is connected.
    """

    def __init__(self, front: Front) -> None:
        self.port = 0
        self._front = front
        self._heard = b""

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[None]:
        """Be connected for as long as the block lasts, and greeted where that is the custom."""
        async with await trio.open_tcp_stream(*self._front.address) as self._stream:
            self.port = self._stream.socket.getsockname()[1]
            if self._front.greets and await self._line() != f"{GREETING}\n".encode():
                raise BrokenConversationError("not greeted")
            yield

    async def ask(self, line: bytes, *, last: bool = False) -> None:
        """Send a line, the last one with the end of the input behind it; see that the answer is right."""
        await self._stream.send_all(line)
        if last:
            await self._stream.send_eof()
        answer = await self._line()
        if last:
            answer += await self._line()
        if answer != line.upper():
            raise BrokenConversationError(f"heard {answer!r}" if answer else UNANSWERED)

    async def is_ended(self) -> bool:
        """Wait for the next line's turn; return whether the server has ended the conversation meanwhile."""
        with trio.move_on_after(PACE * random.uniform(0.5, 1.5)):  # noqa: S311 - out of step is enough
            if heard := await self._line():
                raise BrokenConversationError(f"heard {heard!r}, unasked")
            return True
        return False

    async def _line(self) -> bytes:
        """Return the next line, or what there is of it at the end of the stream."""
        while b"\n" not in self._heard and (data := await self._stream.receive_some()):
            self._heard += data
        line, end, self._heard = self._heard.partition(b"\n")
        return line + end


@asynccontextmanager
async def loading(fronts: Sequence[Front], short: int, long: int) -> AsyncIterator[Tally]:
    """Put load on fronts, with a number of clients each; the conversations are over after the block."""
    tally = Tally()
    async with trio.open_nursery() as nursery:
        for front in fronts:
            for number in range(short):
                delay_s = HANDOVER_DELAY_S if number % 4 > 1 else 0.0
                nursery.start_soon(_converse_for_short, front, tally, bool(number % 2), delay_s)
            for _ in range(long):
                nursery.start_soon(_converse_for_long, front, tally)
        yield tally
        tally.over = True


async def _converse_for_short(
    front: Front,
    tally: Tally,
    ends_input: bool,  # noqa: FBT001 - two kinds
    delay_s: float,
) -> None:
    for number in count():
        if tally.over:
            return
        client, begun = Client(front), trio.current_time()
        try:
            with trio.fail_after(TIMEOUT_S):
                async with client.connected():
                    await trio.sleep(random.uniform(0, delay_s))  # noqa: S311 - as above
                    await client.ask(b"line %d\n" % number, last=ends_input)
        except _FAULTS as error:
            tally.broken.append(Broken(client.port, trio.current_time(), _why(error)))
        else:
            tally.short += 1
            tally.slowest = max(tally.slowest, trio.current_time() - begun)
        await trio.sleep(PAUSE)


async def _converse_for_long(front: Front, tally: Tally) -> None:
    """Ask line after line, on a new connection whenever one has been ended; what is unanswered, again."""
    number, owed = 0, False
    while owed or not tally.over:
        client = Client(front)
        try:
            async with client.connected():
                while owed or not tally.over:
                    owed = True
                    await client.ask(b"line %d\n" % number)
                    number, owed = number + 1, False
                    tally.lines += 1
                    if await client.is_ended():
                        tally.ended += 1
                        break
        except _FAULTS as error:
            kind = tally.crossed if str(error) == UNANSWERED else tally.broken
            kind.append(Broken(client.port, trio.current_time(), _why(error)))
            await trio.sleep(PACE)


_FAULTS = (OSError, BrokenConversationError, trio.BrokenResourceError, trio.TooSlowError)


def _why(error: BaseException) -> str:
    cause = error.__cause__ if isinstance(error, trio.BrokenResourceError) else None
    return str(cause or error) or type(error).__name__
