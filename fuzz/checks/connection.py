"""`Connection`: reads of all kinds, mixed, get what a model of the buffer gives, whenever it arrives.

The stream is in memory and the clock is a mock clock. A read that has to wait is given up, and has
then taken nothing; or runs into a timeout; or is not the only one, which is refused.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeAlias

import trio
import trio.testing

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import InputEnded, LineTooLong, StateError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.peer import LocalPeer
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.requesthandler import Reader
from caas_trio.drivers.stream import StreamChannel
from fuzz.script import CUT, END, header, steps, tokens
from tests.models import NaiveLineBuffer as Model

from .arriving import GIVEN_UP, LONG_WAIT_S, SHORT_WAIT_S, Arriving, HalfCloseableWire, Holding, Wire
from .chunks import cut, cuts
from .playing import Player, play_alone

MODULES: Final = ("caas_trio.drivers.reading", "caas_trio.drivers.sending")

_MAX_LIMIT: Final = 23
_DELIMITERS: Final = (b"\n", b"\r\n", b"pp", b"aba")
_ENDPOINT: Final = Endpoint.parse("unix:@caas")
_IDLE_TIMEOUT_S, _LINE_TIMEOUT_S = 20.0, 8.0  # seconds

_Outcome: TypeAlias = bytes | str


@dataclass(frozen=True)
class Read:
    """One kind of reading, of a connection and of the model.

    Attributes:
        name: what it is called.
        of_connection: starts it.
        of_model: what the model takes; None for nothing yet.
        counted: how many bytes are demanded, where they are.
    """

    name: str
    of_connection: Callable[[Connection], Awaitable[bytes]]
    of_model: Callable[[Model], bytes | None]
    counted: int | None = None


def _reads(count: int, delimiter: bytes) -> dict[int, Read]:
    """Return the kinds of reading that steps of a script ask for."""
    return {
        ord("l"): Read("receive_line", lambda connection: connection.receive_line(), Model.next_line),
        ord("u"): Read(
            "receive_until",
            lambda connection: connection.receive_until(delimiter),
            lambda model: model.take_until(delimiter),
        ),
        ord("w"): Read(
            "receive_line_piece",
            lambda connection: Reader(connection).readline(count),  # calls `receive_line_piece`
            lambda model: model.take_line_piece(count),
        ),
        ord("e"): Read(
            "receive_exactly",
            lambda connection: connection.receive_exactly(count),
            lambda model: model.take_exactly(count),
            count,
        ),
        ord("s"): Read(
            "receive_some",
            lambda connection: connection.receive_some(count),
            lambda model: model.take_some(count) or None,
        ),
    }


#: Steps besides the common ones and the reads: the last kind of read again, with a long timeout or
#: beside another reader; the server begins to drain.
_WAITING, _RIVAL, _DRAIN = b"tbd"
#: Something is sent in between, or while the last kind of read waits.
_SEND, _SEND_MEANWHILE = b"hi"
_MEANWHILE_S: Final = 15.0  # more than a line may take, and less than a client may be idle
#: So many lines arrive at once, and as many reads follow: more than are served before others' turn.
_MANY: Final = ord("m")
_MANY_READS: Final = 130
_KNOWN: Final = frozenset({*b"luwes", _WAITING, _RIVAL, _DRAIN, _SEND, _SEND_MEANWHILE, _MANY, END})
TOKENS: Final = (*tokens(_KNOWN), *cuts(_DELIMITERS))


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    play_alone(open_player, data)


def open_player() -> nullcontext[Player]:
    """Return the function that plays a script; it needs nothing else."""
    return nullcontext(play)


async def play(data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps."""
    choice, limit, cutting, count = header(data)
    limit = limit % _MAX_LIMIT + 1
    runner = _ConnectionScriptRunner(limit, choice, _reads(count % 16 + 1, _DELIMITERS[choice & 3]))
    for chunk, sign in steps(data, limit, _KNOWN):
        for piece in cut(chunk, cutting):
            runner.arriving.put(piece)
        if sign != CUT:
            await runner.act(sign)
    await runner.finish()


class _ConnectionScriptRunner:
    """A connection and its model."""

    def __init__(self, limit: int, choice: int, reads: dict[int, Read]) -> None:
        self.reads = reads
        self.latest = reads[ord("l")]
        self.badly = bool(choice & 4)  # whether its last send is cancelled
        self.rest = _RESTS[choice >> 5 & 3]
        self.wire = Wire() if choice & 16 else HalfCloseableWire()
        self.drain = Drain()
        limits = Limits(max_line=limit, idle_timeout=_IDLE_TIMEOUT_S, line_timeout=_LINE_TIMEOUT_S)
        channel = (Holding if choice & 8 else StreamChannel)(self.wire, limits, self.drain)
        self.connection = Connection(channel, _ENDPOINT, LocalPeer(), limits, self.drain)
        self.arriving = Arriving(self.wire, Model(limit), self.drain)
        self.sent = b""

    async def act(self, sign: int) -> None:
        """Run one step of the script."""
        if sign == _DRAIN:
            self.arriving.begin_drain()
        elif sign == _SEND:
            await self.send()
        elif sign == _SEND_MEANWHILE:
            await self.read_beside_a_send()
        elif sign == END:
            self.arriving.end()
        elif sign == _RIVAL:
            await self.read_as_rivals(self.latest)
        elif sign == _MANY:
            self.arriving.put(_MANY_READS * b"\n")
            for _ in range(_MANY_READS):
                await self.read(self.latest, SHORT_WAIT_S)
        else:
            self.latest = self.reads.get(sign, self.latest)
            await self.read(self.latest, LONG_WAIT_S if sign == _WAITING else SHORT_WAIT_S)

    async def read(self, read: Read, wait: float) -> None:
        """Read from both and compare."""
        expected = self.expected(read, wait)
        outcome = await self.outcome(read, wait)
        assert outcome == expected, f"{outcome!r} instead of {expected!r}"
        assert self.connection.draining is self.drain.begun, "draining is wrong"

    def expected(self, read: Read, wait: float) -> _Outcome:
        """Return what a read is to give."""
        try:
            taken = self.arriving.taken(read.of_model, wait)
        except LineTooLong as error:
            return str(error)
        if taken is None and read.counted is not None:
            return f"InputEnded: {len(self.arriving.model.rest)}"
        return taken or b""

    async def outcome(self, read: Read, wait: float) -> _Outcome:
        """Return what a read gives."""
        with trio.move_on_after(wait):
            try:
                taken = await read.of_connection(self.connection)
            except LineTooLong as error:
                return str(error)
            except InputEnded as error:
                return f"InputEnded: {error.received}"
            except TooSlow as error:
                return f"TooSlow: {error.limit}"
            assert type(taken) is bytes, f"taken as {type(taken).__name__}"
            return taken
        return GIVEN_UP

    async def read_beside_a_send(self) -> None:
        """Read for a long time; if a client that is idle is sent something, its time begins anew."""
        begun = trio.current_time()
        idle = "TooSlow: idle_timeout"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.send_later)
            expected = self.expected(self.latest, LONG_WAIT_S)
            outcome = await self.outcome(self.latest, LONG_WAIT_S)
            nursery.cancel_scope.cancel()
        assert outcome == expected, f"{outcome!r} instead of {expected!r}"
        passed = trio.current_time() - begun
        in_time = math.isclose(passed, _MEANWHILE_S + _IDLE_TIMEOUT_S)  # hours on the clock cost it precision
        assert outcome != idle or in_time, f"idle for {passed} seconds"

    async def send_later(self) -> None:
        await trio.sleep(_MEANWHILE_S)
        await self.send()

    async def read_as_rivals(self, read: Read) -> None:
        """Read while another task does: one of them is served, the other refused if it has to wait."""
        refused = []

        async def rival() -> None:
            try:
                await read.of_connection(self.connection)
            except StateError as error:
                refused.append(error.call)

        expected = self.expected(read, SHORT_WAIT_S)
        if expected != GIVEN_UP:
            outcome = await self.outcome(read, SHORT_WAIT_S)
            assert outcome == expected, f"{outcome!r} instead of {expected!r}"
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.outcome, read, SHORT_WAIT_S)
            await trio.testing.wait_all_tasks_blocked()
            await rival()
        assert refused, "two tasks could read at once"
        assert refused == [read.name], f"{refused} is named as refused instead of {read.name}"

    async def read_lines(self) -> None:
        """Read the rest as lines, by iterating; an oversize one interrupts that."""
        read = _reads(1, b"\n")[ord("l")]
        over = False
        while not over:
            try:
                async for line in self.connection:
                    expected = self.expected(read, SHORT_WAIT_S)
                    assert line == expected, f"{line!r} instead of {expected!r}"
                over = True
            except LineTooLong as error:
                expected = self.expected(read, SHORT_WAIT_S)
                assert str(error) == expected, f"{error} instead of {expected!r}"
        rest = self.expected(read, SHORT_WAIT_S)
        assert rest == b"", f"the iteration ended before {rest!r}"

    async def read_all(self) -> None:
        """Read the rest at once, as request handlers may."""
        expected = b""
        while taken := self.expected(_SOME, SHORT_WAIT_S):
            assert isinstance(taken, bytes)
            expected += taken
        reader = Reader(self.connection)
        size = len(expected) // 2
        parts = await reader.read(size), await reader.read()
        assert parts == (expected[:size], expected[size:]), f"{parts!r} instead of {expected!r}"

    async def read_all_lines(self) -> None:
        """Read the rest as lists of lines, of a few bytes in sum; an oversize one interrupts that."""
        reader = Reader(self.connection)
        over = False
        while not over:
            expected: list[_Outcome] = []
            while sum(map(len, expected)) < _HINT and (line := self.expected(_LINE_READ, SHORT_WAIT_S)):
                expected.append(line)
                if isinstance(line, str):
                    break
            over = not expected
            try:
                taken = await reader.readlines(_HINT)
                assert taken == expected, f"{taken!r} instead of {expected!r}"
            except LineTooLong as error:
                assert str(error) == expected[-1], f"{error} instead of {expected!r}"

    async def send(self) -> None:
        """Send something, whatever is being read."""
        self.sent += b"reply%d\n" % len(self.sent)
        await self.connection.send(self.sent[len(self.wire.sent) :])
        assert self.wire.sent == self.sent, f"sent {self.wire.sent!r} instead of {self.sent!r}"

    async def send_badly(self) -> None:
        """Cancel a send: it may have been sent in part, so the connection is closed, unless it was held.

        Nor is it closed if its turn had not come.
        """
        before, gives_way = self.wire.sent, not self.connection._calls_left
        with trio.CancelScope() as scope:
            scope.cancel()
            await self.connection.send(b"reply")
        held = self.wire.sent != before
        assert held is not scope.cancelled_caught, "the cancellation was swallowed"
        if held or gives_way:
            await self.connection.aclose()

    async def finish(self) -> None:
        """Read the rest, send, close."""
        self.arriving.end()
        await self.rest(self)
        if self.badly:
            await self.send_badly()
        else:
            await self.send()
            await self.connection.send_eof()
            await self.connection.aclose()
        assert self.wire.closed, "the stream is left open"
        send = partial(self.connection.send, b"more")
        calls: dict[str, Callable[[], Awaitable[object]]] = {
            "receive_line": self.connection.receive_line,
            "send": send,
            "send_eof": self.connection.send_eof,
        }
        for name, call in calls.items():
            try:
                await call()
            except StateError as error:
                named = error.call, error.state
                assert named == (name, "closed"), f"{named} is named where {name} does not fit"
                continue
            raise AssertionError("a closed connection was used")


_LINE_READ: Final = _reads(1, b"\n")[ord("l")]
_SOME: Final = _reads(1000, b"\n")[ord("s")]
_HINT: Final = 3  # bytes
#: The ways to read what is left in the end.
_RESTS: Final = (
    _ConnectionScriptRunner.read_lines,
    _ConnectionScriptRunner.read_all,
    _ConnectionScriptRunner.read_all_lines,
    _ConnectionScriptRunner.read_lines,
)
