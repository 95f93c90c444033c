"""The clients of one script, the steps it takes with them, and what is due."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from caas_trio.core.session import First
from fuzz.script import END, SILENCE

from .client import Client
from .failing_service import ServiceFailedError
from .kernel import FaultyHost
from .roster import Roster
from .running import LIMITS, MAX_ADMITTED, Serves

#: Steps besides the common ones. Switch to a client: the first, second, third or fourth.
CLIENTS: Final = b"1234"
#: How the accept of another client fails.
_FAULTS: Final = {
    ord("a"): errno.ECONNABORTED,
    ord("e"): errno.EMFILE,
    ord("m"): errno.ENOMEM,
    ord("i"): errno.EBADF,
}
#: Out of descriptors so thoroughly that the spare one does not help, and cannot be opened again at once.
_THOROUGH: Final = ord("f")
_AGAIN: Final = 3  # accepts fail: the first, the one with the spare's place, the one after a pause

#: What the steps let pass, in seconds: more than the opening delay; more than all limits but the
#: idle timeout, which three of these exceed, and no other sum comes near it.
_SHORT_S: Final = 2 * LIMITS.prompt_delay
_LONG_S: Final = 8.5
#: After so long a sweep of timeouts has seen a new state, after a prompt too.
_SWEPT_S: Final = 1.375
#: Lines that do not fit small buffers, and are not oversize where the limit is high.
_LONG_LINES: Final = (b"x" * 1999 + b"\n") * 3
_DRAIN_POLL_S: Final = 0.05  # after which a conversation that drains has seen that there is no input
#: For so long clients may speak to a server that a newer one has replaced, or for half of its drain timeout.
_HANDOVER_S: Final = 1.0
_SOON_S: Final = 0.05


class ServerScriptRunner(Roster):
    """Runs the steps of one script.

    Attributes:
        current: the client that steps are about.
        stopped: when the server was stopped.
    """

    current: Client
    stopped: float

    async def turn_to(self, number: int) -> None:
        """Switch to a client, which connects if it has not."""
        if number not in self.clients and not self.ending:
            await self.compare_when_idle()
            await self.admit(number)
        if number in self.clients:
            self.current = self.clients[number]

    async def admit(self, number: int) -> None:
        """Connect a client and switch to it."""
        self.current = self.connect(number)
        if self.current.refused:
            self.current.show()
            await wait_all_tasks_blocked()  # before there is room again

    async def act(self, sign: int) -> None:
        """Run one step of the script."""
        if sign in CLIENTS:
            await self.turn_to(CLIENTS.index(sign))
        elif sign in _FAULTS:
            await self.fail_accept(_FAULTS[sign])
        elif sign == _THOROUGH:
            await self.fail_accept(errno.EMFILE, thoroughly=True)
        elif sign in _BY_CLIENT:
            _BY_CLIENT[sign](self.current)
        else:
            await _TO_SERVER[sign](self)

    async def crowd(self) -> None:
        """Connect all clients that are not, at once; each sends a line at once."""
        await self.compare_when_idle()
        for number in range(len(CLIENTS)) if not self.ending else ():
            if number not in self.clients:
                self.connect(number).send(b"early\n")
                if self.proxied:  # the order in which headers are read is open
                    await self.compare_when_idle()
        await self.compare_when_idle()

    async def come_and_go(self) -> None:
        """Connect a client that says something and leaves before it is accepted."""
        await self.compare_when_idle()
        if not self.ending and len(self.clients) < len(CLIENTS):
            client = self.connect(next(n for n in range(len(CLIENTS)) if n not in self.clients))
            client.send(b"early\n")
            client.leave()
            await self.compare_when_idle()

    async def leave_within_a_turn(self) -> None:
        """Connect a client that leaves while the server polls for its first line, or once it is served."""
        await self.compare_when_idle()
        if not self.ending and len(self.clients) < len(CLIENTS):
            client = self.connect(next(n for n in range(len(CLIENTS)) if n not in self.clients))
            self.kernel.polled = client.leave
            await wait_all_tasks_blocked()
            self.kernel.polled = bool
            client.leave()
            await self.compare_when_idle()

    async def compare_when_idle(self) -> None:
        """Wait until nothing moves any more, then compare."""
        await self.catch_up()
        self.compare()

    async def catch_up(self) -> None:
        """Wait until nothing moves any more; clients that read have read all."""
        moved = True
        while moved:
            if self.draining and not all(client.done for client in self.clients.values()):
                await trio.sleep(_DRAIN_POLL_S)
            await wait_all_tasks_blocked()
            if self.proxied and sum(client.show() for client in self.clients.values()):
                await wait_all_tasks_blocked()
            self.let_in()
            read = [client for client in self.clients.values() if self._reads(client) and client.read()]
            # The server may have waited for room, unless all has come that may.
            moved = self.kernel.fills_up and any(client.wants_more for client in read)

    def _reads(self, client: Client) -> bool:
        return client.reading and not client.gone

    def compare(self) -> None:
        """Compare what the clients have received, and what was reported, with what is due."""
        if self.reports.timed_out:
            assert trio.current_time() - self.stopped >= self.server.limits.drain_timeout, (
                "the drain was cut short"
            )
            self.cut_off = True
        for client in self.clients.values():
            if not client.gone:
                client.compare(cut_off=self.cut_off)
        self.reports.compare_counts()
        failures = [each for each in self.reports.failures if not isinstance(each, OSError)]
        badly = len(self.reports.failures) - len(failures)
        assert badly == self.kernel.closed_badly, (
            f"{badly} failing closes of {self.kernel.closed_badly} reported"
        )
        assert all(isinstance(failure, ServiceFailedError) for failure in failures), failures
        tempted = sum(b"!" in client.sent for client in self.clients.values())
        assert len(failures) <= tempted, f"{len(failures)} failures of {tempted} clients"
        # A client that the server has dropped gets no last line served, even one with a "!".
        heard = sum(each.failed and each.owed is None and self._reads(each) for each in self.clients.values())
        assert self.ending or len(failures) >= heard, f"{len(failures)} failures of {heard} clients"
        if self.server.kind.serves is Serves.HANDLERS:  # which refuses clients, and lets few of them linger
            most = MAX_ADMITTED + FaultyHost.gentle_refusals
            assert self.open_sockets() <= most, f"{self.open_sockets()} connections are open, {most} may be"

    async def read_once(self) -> None:
        """Read what is there, and no more even if that makes room for more."""
        if not self.current.gone:
            self.current.read()
        await self.compare_when_idle()

    async def keep_silent(self) -> None:
        """Wait a little longer than the opening delay; no client sends anything."""
        await self.compare_when_idle()
        await self.pass_time(_SHORT_S)

    async def speak_at_last(self) -> None:
        """End the opening delay just as what the client has sent is received."""
        _jump(LIMITS.prompt_delay)
        await self.pass_time(_SHORT_S)

    async def wait_long(self) -> None:
        """Wait longer than a line, a send or a lingering client may take."""
        await self.compare_when_idle()
        blocked, stuck = [], False
        for client in self.clients.values():
            client.lingered = True
            client.stranger |= client.slow
            stuck |= self._blocks(client) and not client.forsaken
            if not client.reading:
                client.forsaken = True
                blocked += [client] if self._blocks(client) else []
            elif client.amid_line and not client.waiting and not client.over:
                client.owed, _ = client.expected()
        stuck &= self.server.stop.is_set() and not self.cut_off
        late = [client for client in self.clients.values() if client.waiting]  # it may linger yet
        self.passing = True
        await self.pass_time(_LONG_S, gradually=bool(self.turns & 1))
        self.passing = False
        assert self.reports.timed_out or not stuck, "the drain has no end"
        here = [client for client in self.clients.values() if client in late or not client.over]
        alive = [client for client in here if client not in blocked]
        assert self.open_sockets() <= len(alive), "a connection outlives its conversation"

    def _blocks(self, client: Client) -> bool:
        """Whether a client leaves unread more than the kernel holds for it."""
        deaf = not client.reading and not client.done and self.kernel.small_buffers
        due = client.expected()[0] if client.owed is None else client.owed
        return deaf and not client.received and len(due) >= len(_LONG_LINES)

    async def pass_time(self, seconds: float, *, gradually: bool = True) -> None:
        """Wait: silent clients are prompted if either side may speak first, idle ones are dropped.

        If not gradually, most of it passes in one moment: the machine was busy, or asleep.
        """
        passed = seconds
        for client in self.clients.values():
            client.show()
        if seconds > _SWEPT_S:
            await trio.sleep(_SWEPT_S)
            await self.catch_up()  # with the prompt, where the silence is over by now
            seconds -= _SWEPT_S
        if not gradually:
            _jump(LIMITS.line_timeout)
            seconds -= LIMITS.line_timeout
        await trio.sleep(seconds)
        for client in self.clients.values() if not self.server.stop.is_set() else ():
            if client.waiting:
                continue
            client.quiet += passed
            if client.silent and self.plan.first is First.EITHER:
                client.prompted = self.plan.prompt
            if client.quiet > LIMITS.idle_timeout and not client.over:
                client.owed, _ = client.expected()
        await self.compare_when_idle()

    async def fail_accept(self, number: int, *, thoroughly: bool = False) -> None:
        """Fail the accept of a new client; the server goes on accepting."""
        await self.compare_when_idle()
        full = self.server.kind.serves is Serves.REQUESTS and self.open_sockets() >= MAX_ADMITTED
        if self.ending or full or len(self.clients) == len(CLIENTS):
            return
        thoroughly &= not self.server.spare_gone
        self.kernel.faults += [number] * (_AGAIN if thoroughly else 1)
        self.kernel.spares_gone = 1 + (self.turns & 1) if thoroughly else 0
        before = len(self.reports.refusals)
        self.current = self.connect(next(n for n in range(len(CLIENTS)) if n not in self.clients))
        self.cut_off = number == errno.EBADF
        if number == errno.EMFILE and not (thoroughly or self.server.spare_gone):
            self.current.refused, self.current.stranger = True, False
            self.current.forsaken = self.kernel.max_sent > 0  # it is told in one send, come what may
        if number == errno.EMFILE:
            self.server.spare_gone = self.kernel.spares_gone > 1
        await self.pass_time(_SHORT_S)
        reported = 2 if thoroughly else int(number in {errno.EMFILE, errno.ENOMEM})
        refusals = len(self.reports.refusals) - before
        assert refusals == reported, f"{refusals} failures to accept reported, {reported} due"

    async def drain(self) -> None:
        """Stop the server; all that was sent before is answered."""
        if any(client.waiting for client in self.clients.values()):
            await self.compare_when_idle()  # there may be room by now
        self.begin_drain()
        await self.compare_when_idle()

    async def connect_late(self) -> None:
        """Connect while the server is stopping: a client that is still let in is served."""
        if self.ending:
            return
        await self.compare_when_idle()
        self.begin_drain()
        for _ in range(self.turns):
            await trio.lowlevel.checkpoint()
        try:
            client = self.connect(len(CLIENTS))
        except ConnectionRefusedError:
            return
        client.send(b"q\n")
        client.owed, _ = client.expected()
        await self.compare_when_idle()

    async def drain_late(self) -> None:
        """Stop the server just when silent clients are to be prompted."""
        await self.compare_when_idle()
        for client in self.clients.values():
            unserved = client.refused or client.stranger or client.slow or client.waiting
            if client.silent and self.plan.first is First.EITHER and client.owed is None and not unserved:
                client.owed, client.prompted = client.prompted, self.plan.prompt  # may be prompted or not
        self.begin_drain()
        for _ in range(self.turns):
            await trio.lowlevel.checkpoint()
        _jump(LIMITS.prompt_delay)
        await self.compare_when_idle()

    def begin_drain(self) -> None:
        """Stop the server, unless it has been stopped."""
        for client in self.clients.values() if not self.cut_off else ():
            if client.waiting:
                self.reject(client)
            client.forsaken |= client.slow  # it gets a little more time
            if client.owed is None:
                client.owed, _ = client.expected()
        if not self.server.stop.is_set():
            self.stopped = trio.current_time()
            self.server.stop.set()

    async def fail_close(self) -> None:
        """Fail the next close of a stream: that is reported once, as it was raised, and changes nothing."""
        self.kernel.close_faults.append(errno.EIO)

    async def hand_over(self) -> None:
        """Stop a server that a newer one has replaced: its clients may speak for a while, then it drains."""
        listener = self.server.listener
        if listener is None or self.server.stop.is_set() or self.cut_off:
            return
        await self.compare_when_idle()
        listener.handed_over = True
        self.stopped = trio.current_time()
        self.handing_over = True
        self.server.stop.set()
        await self.compare_when_idle()
        for client in self.clients.values():
            client.send(b"late\n")
        await self.compare_when_idle()
        await trio.sleep(min(_HANDOVER_S, self.server.limits.drain_timeout / 2) - _SOON_S)
        await self.compare_when_idle()
        self.begin_drain()
        self.handing_over = False
        await trio.sleep(2 * _SOON_S)
        await self.compare_when_idle()

    async def retire(self) -> None:
        """Retire the server: it accepts no more; its clients are served to the end."""
        await self.compare_when_idle()
        for client in self.clients.values():
            if client.waiting:
                client.leave()  # others may serve it, where there are any
        self.server.retire.set()
        await self.compare_when_idle()

    async def cancel(self) -> None:
        """Cancel the server, which is to end at once, whatever its clients do."""
        self.cut_off = True
        self.server.scope.cancel()
        await self.compare_when_idle()
        assert self.server.over.is_set(), "the cancellation was swallowed"

    async def finish(self, *, at_once: bool) -> None:
        """End the output of every client that is still there, and read to the end."""
        if not at_once:
            await self.compare_when_idle()
        for client in self.clients.values():
            client.reading = True
            if not self.cut_off and client.owed is None:
                client.end()
        await self.compare_when_idle()
        for client in self.clients.values():
            assert client.gone or client.eof, "a connection does not end"


def _jump(seconds: float) -> None:
    """Advance the clock before any task runs."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    clock.jump(seconds)


#: What a step makes the current client do.
_BY_CLIENT: Final[dict[int, Callable[[Client], None]]] = {
    END: Client.end,
    ord("s"): Client.stop_reading,
    ord("g"): Client.go_on_reading,
    ord("!"): Client.leave,
    ord("b"): lambda client: client.send(_LONG_LINES[-3 * client.plan.limit :]),
}
#: What it does to the server or to the clock.
_TO_SERVER: Final = {
    SILENCE: ServerScriptRunner.keep_silent,
    ord("k"): ServerScriptRunner.speak_at_last,
    ord("t"): ServerScriptRunner.wait_long,
    ord("p"): ServerScriptRunner.read_once,
    ord("d"): ServerScriptRunner.drain,
    ord("j"): ServerScriptRunner.drain_late,
    ord("n"): ServerScriptRunner.crowd,
    ord("x"): ServerScriptRunner.come_and_go,
    ord("l"): ServerScriptRunner.leave_within_a_turn,
    ord("q"): ServerScriptRunner.connect_late,
    ord("c"): ServerScriptRunner.cancel,
    ord("r"): ServerScriptRunner.retire,
    ord("h"): ServerScriptRunner.hand_over,
    ord("v"): ServerScriptRunner.fail_close,
    ord("_"): ServerScriptRunner.compare_when_idle,
}
KNOWN: Final = frozenset({*CLIENTS, *_FAULTS, _THOROUGH, *_BY_CLIENT, *_TO_SERVER})
