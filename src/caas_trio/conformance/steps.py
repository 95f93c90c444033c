"""The steps of a case, taken over real connections; see `script`."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from typing import Any, Final

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.session import First

from . import datagram
from .attribution import (
    gone_clause,
    prompt_clause,
    reply_clause,
    still_open_clause,
    unasked_clause,
    unasked_reason,
    unsaid_clause,
)
from .case import Fault, Result, Verdict
from .compare import MAX_NOTICE, Broken, Mismatch, receive_exactly
from .cuts import WHOLE
from .dialects.talk import Talk
from .profile import Profile
from .script import (
    Abandon,
    Ask,
    AskTogether,
    Connect,
    Converse,
    EndInput,
    Expect,
    ExpectAny,
    ExpectEnd,
    ExpectNoShouting,
    ExpectRefusal,
    ExpectSpeech,
    Growth,
    Leave,
    Pause,
    Reset,
    Send,
    SendUnread,
    Silence,
    Step,
)
from .wire import CONNECTORS, End, Wire, why
from .wirelog import Event

#: How often a step that watches the writer looks.
_POLL_INTERVAL_S: Final = 0.05
#: What a server says to a client that it has no room for, as LOAD-7 wants.
_AT_CAPACITY: Final = b"error: too many connections\n"


@dataclass(frozen=True, slots=True)
class Awaited:
    """The receiving of a step: since when, how many bytes, and how many had come before."""

    wire: Wire
    size: int
    since: float
    before: int

    def expected_end(self) -> float:
        """Return when all bytes will have come, at the pace so far; now, if nothing has come."""
        now = trio.current_time()
        come = self.wire.received - self.before
        return self.since + (now - self.since) * self.size / come if come else now


class Steps:
    """Takes the steps of one attempt at a case.

    Args:
        result: the case, and where its log, its note and the verdict on its end are kept.
        endpoint: where the server is.
        profile: what the server is declared to be.
        timeout_s: seconds of silence after which what is due counts as missing.
        connect_s: seconds that a connection may take to be opened.
        tasks: where connections have their writers.
        scope: what ends the case; a step may extend it.

    Attributes:
        awaited: what the step under way is receiving, if that has a known size.
    """

    def __init__(
        self,
        result: Result,
        endpoint: Endpoint,
        profile: Profile,
        *,
        timeout_s: float,
        connect_s: float,
        tasks: trio.Nursery,
        scope: trio.CancelScope,
    ) -> None:
        self._result = result
        self._case = result.case
        self._endpoint = endpoint
        self._profile = profile
        self._timeout_s = timeout_s
        self._connect_s = connect_s
        self._tasks = tasks
        self._scope = scope
        self._wires: dict[int, Wire] = {}
        self.awaited: Awaited | None = None
        self._take: dict[type, Callable[[Any], Coroutine[Any, Any, None]]] = {
            Abandon: self._abandon,
            Ask: self._ask,
            AskTogether: self._ask_together,
            Connect: self._connect,
            Converse: self._converse,
            EndInput: self._end_input,
            Expect: self._expect,
            ExpectAny: self._expect_any,
            ExpectEnd: self._expect_end,
            ExpectNoShouting: self._expect_no_shouting,
            ExpectRefusal: self._expect_refusal,
            ExpectSpeech: self._expect_speech,
            Growth: self._growth,
            Leave: self._leave,
            Pause: self._pause,
            Reset: self._reset,
            Send: self._send,
            SendUnread: self._send_unread,
            Silence: self._silence,
        }

    @property
    def lateness(self) -> float:
        """How late the latest client spoke, in seconds."""
        return max((wire.lateness or 0.0 for wire in self._wires.values()), default=0.0)

    async def take(self, step: Step) -> None:
        """Take a step.

        Raises:
            Broken: the server has not done what it must.
            UnjudgedError: the step shows nothing about this server.
        """
        await self._take[type(step)](step)

    def close(self) -> None:
        """Close all connections."""
        for number, wire in self._wires.items():
            wire.close()
            self._result.log.add(number, Event.CLOSED)

    def _answer_fault(self, mismatch: Mismatch, *, greeted: bool = True) -> Broken:
        expected, received = mismatch.expected, mismatch.received
        clause = reply_clause(self._case.clause, self._profile, expected, received, greeted=greeted)
        return Broken(Fault(clause, mismatch.reason, expected, received))

    async def _converse(self, step: Converse) -> None:
        assert self._profile.dialect is not None  # noqa: S101 - Need.DIALECT
        talk = Talk(self._open, self._profile.dialect, self._case.clause, self._timeout_s, self._extend)
        try:
            await step.run(talk)
        finally:
            self._result.note = talk.note

    def _extend(self, seconds: float) -> None:
        self._scope.deadline += seconds

    async def _open(self, client: int, *, bare: bool = False) -> Wire:
        """Return a connection, behind its PROXY header unless it is bare."""
        try:
            with trio.fail_after(self._connect_s):
                stream = await CONNECTORS[self._endpoint.scheme](self._endpoint, self._profile)
        except (OSError, trio.TooSlowError) as error:
            self._result.log.add(client, Event.REFUSED)
            reason = why(error) if isinstance(error, OSError) else f"no answer in {self._connect_s:g} seconds"
            raise Broken(Fault(gone_clause(self._profile), f"no connection: {reason}")) from None
        wire = self._wires[client] = Wire(stream, client, self._result.log)
        self._result.log.add(client, Event.CONNECTED)
        self._tasks.start_soon(wire.write)
        if self._profile.header and not bare:
            wire.send(self._profile.header, WHOLE)
            # The header is not late for as long as the next step takes to build what it sends.
            await wire.flushed()
        return wire

    async def _connect(self, step: Connect) -> None:
        wire = await self._open(step.client, bare=step.bare)
        if step.greet and self._profile.first is First.SERVER:
            await self._greeted(wire, step.client)
        elif step.greet and self._profile.first is First.EITHER:
            wire.optional_prompt = self._profile.prompt

    async def _greeted(self, wire: Wire, client: int) -> None:
        try:
            await self._expect(Expect((self._profile.prompt,), client))
        except Broken as broken:
            if wire.end is not None or broken.fault.clause != self._case.clause:
                raise
            clause = prompt_clause(self._case.clause, nothing_came=not broken.fault.received)
            raise Broken(replace(broken.fault, clause=clause)) from None

    async def _send(self, step: Send) -> None:
        self._wires[step.client].send(step.data, step.cut)
        # It is on its way before the next step is built, which may take a while.
        await trio.lowlevel.checkpoint()

    async def _end_input(self, step: EndInput) -> None:
        self._wires[step.client].end_input()

    async def _pause(self, step: Pause) -> None:
        await trio.sleep(step.seconds)

    async def _leave(self, step: Leave) -> None:
        self._wires[step.client].close()

    async def _reset(self, step: Reset) -> None:
        self._wires[step.client].reset()

    async def _expect(self, step: Expect) -> None:
        wire = self._wires[step.client]
        size = sum(len(part) for part in step.parts if isinstance(part, bytes))
        self.awaited = Awaited(wire, size, trio.current_time(), wire.received)
        mismatch = await receive_exactly(wire, step.parts, self._timeout_s)
        self.awaited = None
        if mismatch is None:
            return
        if mismatch.received.startswith(_AT_CAPACITY):
            others = sum(wire.end is None for wire in self._wires.values()) - 1
            reason = f"the server says that it is at capacity; this case has {others} other clients"
            raise Broken(Fault("LOAD-5", reason, mismatch.expected, mismatch.received))
        if mismatch.missing and wire.sent and wire.everything_sent:
            wire.end_input()
            late = await receive_exactly(wire, mismatch.missing, self._timeout_s / 2)
            if late is None:
                fault = Fault("TIME-1", "the reply came only when the client ended its input")
                raise Broken(fault)
        raise self._answer_fault(mismatch, greeted=wire.greeted)

    async def _expect_any(self, step: ExpectAny) -> None:
        data = b""
        with trio.move_on_after(self._timeout_s):
            data = await self._wires[step.client].receive()
        if not data:
            ended = self._wires[step.client].end is not None
            reason = "the server ended the conversation" if ended else "the server sends nothing"
            raise Broken(Fault(self._case.clause, reason, None, b""))
        self._wires[step.client].push_back(data)

    async def _speech(self, client: int) -> tuple[bytes, bytes]:
        """Return a line of the server's, and what came behind it; less if there is no more."""
        wire = self._wires[client]
        speech = b""
        with trio.move_on_after(self._timeout_s):
            while b"\n" not in speech and len(speech) <= MAX_NOTICE and (data := await wire.receive()):
                speech += data
        line, lf, rest = speech.partition(b"\n")
        return line + lf, rest

    async def _expect_speech(self, step: ExpectSpeech) -> None:
        speech, rest = await self._speech(step.client)
        if not speech:
            clause = unsaid_clause(self._profile)
            raise Broken(Fault(clause, "the server sends nothing", None, speech))
        self._no_shouting(speech)
        if rest:
            self._wires[step.client].push_back(rest)

    async def _expect_no_shouting(self, step: ExpectNoShouting) -> None:
        speech, _ = await self._speech(step.client)
        if not step.reply.startswith(speech.removesuffix(b"\n")):
            self._no_shouting(speech)

    def _no_shouting(self, speech: bytes) -> None:
        if not speech.endswith(b"\n") or speech == speech.upper():
            reason = "what the server says for itself has no lower-case letter or does not end in LF"
            raise Broken(Fault(self._case.clause, reason, None, speech[:256]))

    async def _silence(self, step: Silence) -> None:
        wire = self._wires[step.client]
        with trio.move_on_after(self._timeout_s):
            await wire.flushed()
        with trio.move_on_after(step.seconds):
            data = await wire.receive()
            if not data:
                raise Broken(Fault("CLOSE-4", "the server ended the conversation while nothing was sent"))
            clause = unasked_clause(self._case.clause, self._profile, data, greeted=wire.greeted)
            reason = unasked_reason(self._profile.service, wire.tail, data)
            raise Broken(Fault(clause, reason, b"", data[:256]))

    async def _expect_end(self, step: ExpectEnd) -> None:
        wire = self._wires[step.client]
        data = b""
        with trio.move_on_after(self._timeout_s) as scope:
            data = await wire.receive()
        if scope.cancelled_caught:
            clause = still_open_clause(self._case.clause, self._profile, ended_input=wire.ended_input)
            reason = f"the server's output was still open after {self._timeout_s:g} seconds"
            raise Broken(Fault(clause, reason))
        if data:
            raise self._answer_fault(
                Mismatch("more came than was due", b"", data[:256]), greeted=wire.greeted
            )
        if wire.end not in (None, End.FIN):
            raise Broken(Fault("CLOSE-2", f"the server {wire.end.value}"))
        self._result.close = Verdict.PASSED

    async def _expect_refusal(self, step: ExpectRefusal) -> None:
        data = b""
        with trio.move_on_after(self._timeout_s) as scope:
            data = await self._wires[step.client].receive()
        if data:
            raise Broken(Fault(self._case.clause, "the server answered", b"", data[:256]))
        if scope.cancelled_caught:
            reason = f"the connection was still open after {self._timeout_s:g} seconds"
            raise Broken(Fault(self._case.clause, reason))

    async def _send_unread(self, step: SendUnread) -> None:
        wire = self._wires[step.client]
        for _ in range(step.times):
            wire.send(step.data, WHOLE)
        sent, since = wire.sent, trio.current_time()
        while not (wire.everything_sent or wire.write_failed) and trio.current_time() - since < step.quiet:
            await trio.sleep(_POLL_INTERVAL_S)
            if wire.sent != sent:
                sent, since = wire.sent, trio.current_time()
        if step.must_block and wire.everything_sent:
            reason = f"the server took {step.times * len(step.data)} bytes from a client that reads nothing"
            raise Broken(Fault(self._case.clause, reason))

    async def _growth(self, step: Growth) -> None:
        ratio = len(step.large) / len(step.small)
        small = await self._fastest(step.small, 0)
        large = await self._fastest(step.large, 1)
        if large > step.floor and large > small * ratio * step.factor:
            reason = f"{ratio:g} times the bytes took {large / small:.0f} times as long ({large:.2f} s)"
            raise Broken(Fault(self._case.clause, reason))

    async def _fastest(self, data: bytes, client: int) -> float:
        """Return the seconds that an exchange takes, the better of two."""
        best = math.inf
        for _ in range(2):
            await self._connect(Connect(client))
            started = trio.current_time()
            await self._send(Send(data, client=client))
            await self._expect(Expect((self._profile.service.reply(data),), client))
            best = min(best, trio.current_time() - started)
            self._wires[client].close()
        return best

    async def _ask(self, step: Ask) -> None:
        mismatch = await datagram.ask(self._endpoint, step, self._result.log, self._timeout_s)
        if mismatch is not None and mismatch.missing:
            raise Broken(Fault(step.lost, mismatch.reason, mismatch.expected, mismatch.received))
        if mismatch is not None:
            raise self._answer_fault(mismatch)

    async def _ask_together(self, step: AskTogether) -> None:
        mismatch = await datagram.ask_together(self._endpoint, step, self._result.log, self._timeout_s)
        if mismatch is not None:
            raise self._answer_fault(mismatch)

    async def _abandon(self, step: Abandon) -> None:
        await datagram.abandon(self._endpoint, step.data, self._result.log)
