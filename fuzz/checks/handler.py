"""`Connection`: what handlers call beside the reads gets what a model gives, and sends what it is due.

Commands and bodies, bytes that are skipped or taken without waiting, the end of the input, and posts to a
client that may not read. The stream is in memory and the clock is a mock clock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import partial
from typing import Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio.core.dotstuffing import dot_stuff, dot_unstuff
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import (
    ConnectionLost,
    PeerError,
    StateError,
    TooMuchUnsent,
)
from caas_trio.core.limits import Limits
from caas_trio.core.peer import LocalPeer
from caas_trio.core.terminator import Terminator
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.connectionbase import CALLS_IN_A_ROW
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.stream import StreamChannel
from caas_trio.drivers.wanted import READ_AHEAD
from fuzz.script import CUT, END, header, steps, tokens
from tests.models import NaiveLineBuffer as Model
from tests.models import NaiveStrictBuffer as StrictModel

from .arriving import GIVEN_UP, LONG_WAIT_S, SHORT_WAIT_S, Arriving, HalfCloseableWire, Wire
from .chunks import cut, cuts
from .expecting import MAX_COUNT, Expecting, Outcome, told
from .expecting import outcome as outcome_of
from .playing import Player, play_alone

MODULES: Final = ("caas_trio.drivers.reading", "caas_trio.drivers.sending", "caas_trio.drivers.commands")

_MAX_LIMIT: Final = 23
_ENDPOINT: Final = Endpoint.parse("unix:@caas")
_MAX_UNSENT: Final = 16
_BEHIND: Final = b"next;"
_TOO_LONG: Final = b"500\r\n"
_MAX_TOO_LONG: Final = 2
_MAX_COMMANDS: Final = 4
_NO_LIMIT: Final = 1 << 20

#: Steps: a command, a body; bytes are read or skipped, or their number is refused; a line or bytes are
#: taken if they are here; the end of the input is waited for, for a second or longer than all limits.
_COMMAND, _BODY, _LINE, _SKIP, _REFUSED, _TAKE, _TAKE_BYTES, _INPUT_END, _LONG_END = b"cblkntqiw"
#: Something is posted, by a task of its own or not; the client stops reading, or reads on; it is gone, or
#: the stream has a bug; several tasks send; another task reads; the server drains.
_POST, _STALL, _BREAK, _BUG, _SENDERS, _RIVAL, _DRAIN = b"pzagsrd"
#: The connection is closed while what was posted waits for a client that is gone.
_CLOSE: Final = ord("v")
#: More lines than are taken in a row; more bytes than are read ahead.
_OFTEN, _FLOOD = b"yf"
_KNOWN: Final = frozenset(
    {
        *(_COMMAND, _BODY, _LINE, _SKIP, _REFUSED, _TAKE, _TAKE_BYTES, _INPUT_END, _LONG_END),
        *(_POST, _STALL, _BREAK, _BUG, _SENDERS, _RIVAL, _DRAIN, _CLOSE, _OFTEN, _FLOOD, END),
    }
)
TOKENS: Final = (*tokens(_KNOWN), *cuts((b"\r\n", b"\r\n.\r\n", b"\r\n..", b"\n.\n")))


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
    runner = _HandlerScriptRunner(limit, choice, count % 16)
    for chunk, sign in steps(data, limit, _KNOWN):
        for piece in cut(chunk, cutting):
            runner.arriving.put(piece)
        if sign != CUT and not runner.over:
            await runner.act(sign)
    if not runner.over:
        await runner.finish()


class _TakingChannel(StreamChannel):
    """A channel that sends without waiting where it can, as the fast driver does."""

    def __init__(self, wire: Wire, limits: Limits, drain: Drain) -> None:
        super().__init__(wire, limits, drain)
        self._wire = wire

    def send_nowait(self, data: bytes | memoryview) -> bytes | memoryview:
        if self._wire.broken is not None:
            raise ConnectionLost
        if self._wire.stalled:
            return data
        self._wire.sent += data
        return b""


class _HandlerScriptRunner:
    """A connection, and the model of what is read from it and sent on it.

    Attributes:
        over: whether the connection has ended before the script has.
    """

    def __init__(self, limit: int, choice: int, count: int) -> None:
        self.over = False
        self.count = count
        self.strict = bool(choice & 1)
        terminator = Terminator.CRLF if self.strict else Terminator.LF
        self.wire = Wire() if choice & 2 else HalfCloseableWire()
        drain = Drain()
        limits = Limits(
            max_line=limit, idle_timeout=20, line_timeout=8, write_timeout=1e6, max_unsent=_MAX_UNSENT
        )
        self.takes = bool(choice & 4)  # whether its channel can send without waiting
        channel = (_TakingChannel if self.takes else StreamChannel)(self.wire, limits, drain)
        self.connection = Connection(channel, _ENDPOINT, LocalPeer(), limits, drain)
        self.connection.terminator = terminator
        self.arriving = Arriving(self.wire, (StrictModel if self.strict else Model)(limit), drain)
        answered, bounded = bool(choice & 16), bool(choice & 8)
        self.commands = self.connection.commands(
            too_long=_TOO_LONG if answered else None,
            max_too_long=_MAX_TOO_LONG if bounded else None,
            max_commands=_MAX_COMMANDS if bounded else None,
        )
        self.expecting = Expecting(
            self.arriving,
            drain,
            terminator,
            count,
            too_long=_TOO_LONG if answered else b"",
            max_too_long=_MAX_TOO_LONG if bounded else _NO_LIMIT,
            max_commands=_MAX_COMMANDS if bounded else _NO_LIMIT,
        )
        self.due = b""  # all that is sent, or ought to be
        self.calls = 0  # since a call has waited, or more

    async def act(self, sign: int) -> None:
        """Run one step of the script."""
        step = _STEPS.get(sign)
        if step is None:
            await self.read(sign)
        else:
            await step(self)

    async def take_line(self) -> None:
        """Take a line that is here."""
        self.take(self.connection.take_line, lambda model: model.next_line())

    async def take_bytes(self) -> None:
        """Take bytes that are here."""
        take = partial(self.connection.take_exactly, self.count)
        self.take(take, lambda model: model.take_exactly(self.count))

    async def end(self) -> None:
        """End the input."""
        self.arriving.end()

    async def flood(self) -> None:
        """Send more than is read ahead."""
        self.arriving.put(b"x" * READ_AHEAD)

    async def begin_drain(self) -> None:
        """Begin the drain."""
        self.arriving.begin_drain()

    # Reads.

    async def read(self, sign: int) -> None:
        """Start a call that may wait, and compare its result."""
        if self.wire.stalled:  # an answer to a line that is too long would wait
            await self.stall_or_resume()
        wait = LONG_WAIT_S if sign == _LONG_END else SHORT_WAIT_S
        expect, call = {
            _COMMAND: (self.expecting.command, self.next_command),
            _BODY: (self.expecting.body, lambda: self.connection.receive_dot_stuffed(self.count)),
            _LINE: (self.expecting.line, self.connection.receive_line),
            _SKIP: (self.expecting.skipped, lambda: self.connection.skip(self.count)),
            _REFUSED: (
                self.expecting.refused,
                lambda: self.connection.receive_exactly(self.count, MAX_COUNT),
            ),
            _INPUT_END: (self.expecting.input_end, self.connection.wait_input_end),
            _LONG_END: (self.expecting.input_end, self.connection.wait_input_end),
        }[sign]
        answered = len(self.expecting.sent)
        expected = told(expect)
        self.due += self.expecting.sent[answered:]
        outcome = await outcome_of(call, wait)
        assert outcome == expected, f"{outcome!r} instead of {expected!r}"
        if sign == _BODY and isinstance(outcome, bytes) and self.strict:
            again = dot_unstuff(dot_stuff(outcome))
            assert again == outcome, f"{outcome!r} comes back as {again!r}"
        assert self.wire.sent == self.due, f"sent {self.wire.sent!r} instead of {self.due!r}"
        tail = self.expecting.tail
        assert self.commands.tail == tail, f"the tail is {self.commands.tail!r}, not {tail!r}"
        self.calls = 0 if expected == GIVEN_UP else self.calls + 1

    async def next_command(self) -> bytes | None:
        """Return the next command; None at the end."""
        return await anext(self.commands, None)

    def take(self, call: Callable[[], bytes | None], of_model: Callable[[Model], bytes | None]) -> None:
        """Take what is here. Now and then it is other tasks' turn instead."""
        model = self.arriving.model
        before = model.__dict__.copy()
        expected = told(lambda: of_model(model))
        outcome = told(call)
        if outcome is None and self.calls >= CALLS_IN_A_ROW:
            model.__dict__.update(before)
        else:
            assert outcome == expected, f"{outcome!r} is here instead of {expected!r}"
        self.calls += 1

    async def take_often(self) -> None:
        """Take more lines than there are in a row without another task's turn; read on by each call."""
        self.arriving.put((b"\r\n") * (CALLS_IN_A_ROW + 2))
        await self.read(_LINE)
        for _ in range(CALLS_IN_A_ROW + 1):
            await self.take_line()
        await self.take_bytes()
        await self.read(_SKIP)

    async def refuse_a_rival(self) -> None:
        """Read, and take something in another task meanwhile, if the read waits."""
        expected = told(self.expecting.line)
        outcome: list[Outcome] = []

        async def read() -> None:
            outcome.append(await outcome_of(self.connection.receive_line, SHORT_WAIT_S))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            if expected == GIVEN_UP:
                await wait_all_tasks_blocked()
                await self.see_refused("take_line", self.connection.take_line)
                await self.see_refused("take_exactly", partial(self.connection.take_exactly, 1))
                await self.see_refused("skip", partial(self.connection.skip, 1))
        assert outcome == [expected], f"{outcome!r} instead of {expected!r}"
        self.calls = 0 if expected == GIVEN_UP else self.calls + 1

    async def see_refused(self, name: str, call: Callable[[], object]) -> None:
        """See that a call is refused while another task reads."""
        try:
            called = call()
            if isinstance(called, Awaitable):
                await called
        except StateError as error:
            assert error.call == name, f"{error.call} is named as refused instead of {name}"
            return
        raise AssertionError("two tasks could read at once")

    # Sends.

    async def post(self) -> None:
        """Post something: it is sent as soon as the client reads, or there is too much of it."""
        data = b"post%d;" % len(self.due) + b"." * self.count
        waiting = len(self.due) - len(self.wire.sent)
        fits = (self.takes and not self.wire.stalled) or waiting + len(data) <= _MAX_UNSENT
        posted = self.connection.post(data)
        assert posted is fits, f"posted: {posted} with {waiting} bytes that wait"
        if not fits:
            await self.see_it_failed(TooMuchUnsent)
            return
        self.due += data
        await self.compare_when_idle()

    async def stall_or_resume(self) -> None:
        """Stop or resume the client's reading."""
        if self.wire.stalled:
            self.wire.resume()
            waiting = len(self.due) - len(self.wire.sent)
            if 0 < waiting <= _MAX_UNSENT - len(_BEHIND):  # it may not overtake what waits
                assert self.connection.post(_BEHIND), "the post was refused"
                self.due += _BEHIND
        else:
            self.wire.stall()
        await self.compare_when_idle()

    async def compare_when_idle(self) -> None:
        """See that all is sent, unless the client does not read."""
        await wait_all_tasks_blocked()
        if not self.wire.stalled:
            assert self.wire.sent == self.due, f"sent {self.wire.sent!r} instead of {self.due!r}"
        self.calls += 1

    async def send_from_several_tasks(self) -> None:
        """Send from two tasks while the client does not read, and post: each goes out whole, posts first."""
        if self.wire.stalled:
            await self.stall_or_resume()
        self.wire.stall()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.connection.send, b"first;")
            await wait_all_tasks_blocked()
            nursery.start_soon(self.connection.send, b"second;")
            await wait_all_tasks_blocked()
            assert self.connection.post(b"posted;"), "the post was refused"
            nursery.start_soon(self.connection.flush)
            await wait_all_tasks_blocked()
            self.wire.resume()
        self.due += b"first;posted;second;"
        await self.compare_when_idle()

    async def fail(self, error: Exception) -> None:
        """Post to a client that is gone, or by a stream with a bug."""
        if self.wire.stalled:
            await self.stall_or_resume()
        self.wire.broken = error
        posted = self.connection.post(b"lost")
        assert posted is not self.takes, f"posted to a client that is gone: {posted}"
        await self.see_it_failed(ConnectionLost)

    async def close_amid(self) -> None:
        """Close the connection while what was posted waits: that is no failure any more."""
        self.over = True
        self.wire.stall()
        self.connection.post(b"cut off;")
        await wait_all_tasks_blocked()
        await self.connection.aclose()
        self.wire.broken = trio.BrokenResourceError()
        self.wire.resume()
        await wait_all_tasks_blocked()
        assert self.connection.failure is None, f"closed, and failed by {self.connection.failure!r}"
        assert not self.connection.post(b"more"), "posted to a closed connection"

    async def see_it_failed(self, kind: type[PeerError]) -> None:
        """See that the connection has ended: each call of its own tasks raises what the client did."""
        self.over = True
        self.wire.resume()
        await wait_all_tasks_blocked()
        assert self.wire.closed, "the stream of a failed connection is left open"
        assert not self.connection.post(b"more"), "posted to a failed connection"
        calls: tuple[Callable[[], Awaitable[object]], ...] = (
            self.connection.receive_line,
            partial(self.connection.send, b"more"),
            partial(self.connection.skip, 1),
            self.connection.wait_input_end,
            self.connection.flush,
        )
        for call in calls:
            try:
                await call()
            except kind:
                continue
            raise AssertionError(f"a failed connection was used by {call!r}")
        assert self.wire.sent == self.due[: len(self.wire.sent)], "something else was sent"

    async def finish(self) -> None:
        """End the input, read the commands that are left; close behind what was posted."""
        self.arriving.end()
        while True:
            expected = told(self.expecting.line)
            outcome = await outcome_of(self.connection.receive_line, SHORT_WAIT_S)
            assert outcome == expected, f"{outcome!r} instead of {expected!r}"
            if not expected:
                break
        await self.post()
        if self.over:
            return
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.connection.finish)
            await wait_all_tasks_blocked()
            self.wire.resume()
        await self.compare_when_idle()
        assert not self.connection.post(b"late"), "posted to a connection that is closed"
        await self.connection.aclose()
        assert self.wire.closed, "the stream is left open"


#: What each step does; the others are reads.
_STEPS: Final[dict[int, Callable[[_HandlerScriptRunner], Awaitable[None]]]] = {
    _POST: _HandlerScriptRunner.post,
    _STALL: _HandlerScriptRunner.stall_or_resume,
    _BREAK: lambda runner: runner.fail(trio.BrokenResourceError()),
    _BUG: lambda runner: runner.fail(ZeroDivisionError()),
    _SENDERS: _HandlerScriptRunner.send_from_several_tasks,
    _RIVAL: _HandlerScriptRunner.refuse_a_rival,
    _DRAIN: _HandlerScriptRunner.begin_drain,
    _CLOSE: _HandlerScriptRunner.close_amid,
    _OFTEN: _HandlerScriptRunner.take_often,
    _TAKE: _HandlerScriptRunner.take_line,
    _TAKE_BYTES: _HandlerScriptRunner.take_bytes,
    _FLOOD: _HandlerScriptRunner.flood,
    END: _HandlerScriptRunner.end,
}
