"""The clients of one script, the steps it takes with them, and what is due."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Final

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from caas_trio.core.session import First
from fuzz.dialog import END, SILENCE

from . import origins
from .bombs import BombError
from .client import Client
from .conversation import Plan
from .kernel import Kernel
from .running import FEW, LIMITS, Running, Serves

#: Steps besides those of a dialog. Which client is meant from here on: the first, second, third or fourth.
CLIENTS: Final = b"1234"
#: How the accept of another client fails.
_FAULTS: Final = {
    ord("a"): errno.ECONNABORTED,
    ord("e"): errno.EMFILE,
    ord("m"): errno.ENOMEM,
    ord("i"): errno.EBADF,
}
#: Out of descriptors so thoroughly that the spare one helps nobody, and cannot be had back at once.
_THOROUGH: Final = ord("f")
_AGAIN: Final = 3  # accepts fail: the first, the one with the spare's place, the one after a pause

#: What the steps let pass, in seconds: more than the opening delay; more than all limits but the
#: idle timeout, which three of these exceed, and no other sum comes near it.
_SHORT: Final = 2 * LIMITS.prompt_delay
_LONG: Final = 8.5
#: After so many seconds who looks at timeouts now and then has seen a new state, after a prompt too.
_NOTICED: Final = 1.375
#: Lines that do not fit small buffers, and are not oversize where the limit is high.
_LONG_LINES: Final = (b"x" * 1999 + b"\n") * 3
_MOMENT: Final = 0.05  # within which a conversation that drains looks for input and gives up


class Stage:
    """A server and the clients of one script.

    Attributes:
        cut_off: whether the server was cancelled, or a listening socket has failed.
        passing: whether a long time is passing.
        current: the client that steps are about.
    """

    def __init__(self, server: Running, plan: Plan, kernel: Kernel, moments: int, hosts: list[str]) -> None:
        self.server = server
        self.reports = server.reports
        self.plan = plan
        self.kernel = kernel
        self.moments = moments  # how many turns of the scheduler a race is decided by
        self.hosts = hosts  # where clients come from, by their places; none if that does not matter
        self.proxied = server.kind.proxied  # whether a PROXY header tells of that
        self.cut_off = False
        self.passing = False
        self.clients: dict[int, Client] = {}

    @property
    def ending(self) -> bool:
        """Whether the server has been told to stop or to retire, or has been cut off."""
        return self.server.stop.is_set() or self.server.retire.is_set() or self.cut_off

    async def turn_to(self, number: int) -> None:
        """Make a client the one that is meant; it connects if it has not."""
        if number not in self.clients and not self.ending:
            await self.settle()
            await self.admit(number)
        if number in self.clients:
            self.current = self.clients[number]

    async def admit(self, number: int) -> None:
        """Let a client connect, which is then the one that is meant."""
        self.current = self.connect(number)
        if self.current.refused:
            self.current.show()
            await wait_all_tasks_blocked()  # before there is room again

    def connect(self, number: int) -> Client:
        """Connect one more client, for which there may be no room.

        Raises:
            ConnectionRefusedError: the server listens no more.
        """
        address = self.server.behind_proxy if self.proxied else self.server.address
        client = Client(self.plan, f"\0{address}")
        place = len(self.clients)
        self.clients[number] = client
        if self.server.kind.serves is Serves.REQUESTS and not self.ending:
            client.waiting = True
        elif self.server.kind.serves is not Serves.SESSIONS:
            client.refused = len(self._admitted()) > FEW
        elif self.hosts:
            host = self._host(place)
            client.stranger, client.slow = origins.is_strange(host), origins.is_slow(host)
            if self.proxied:
                client.begin_to_show(origins.HEADERS[self.hosts[place]])
            if origins.ends_at_once(host):
                client.end()
            same = [other for other in self._admitted() if self._host(other) == host]
            client.refused = len(same) > FEW and not client.stranger and origins.counts(host)
        client.lingered = (
            client.stranger or client.slow
        )  # closed at once, whatever is unread: a reset is no fault
        if client.refused:
            self._reject(client)
        return client

    def _reject(self, client: Client) -> None:
        """Take note that there is no room for a client."""
        client.refused, client.waiting = True, False
        if any(other.refused for other in self._others(client)):
            client.forsaken = self.kernel.most_sent > 0  # told in one send, come what may

    def _others(self, client: Client) -> list[Client]:
        return [other for other in self.clients.values() if other is not client]

    def _admitted(self) -> list[int]:
        """Return the places, in the order of connecting, of those that are let in, or will be."""
        accepted = self.kernel.accepted
        return [
            place
            for place, client in enumerate(self.clients.values())
            if not (client.refused or client.stranger)
            and (place >= len(accepted) or accepted[place].fileno() >= 0)
        ]

    def _host(self, place: int) -> str:
        return origins.one_host(self.hosts[place])

    async def act(self, sign: int) -> None:
        """Do what a step of the script says."""
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
        """Let all the clients connect that have not, at once, and speak at once."""
        await self.settle()
        for number in range(len(CLIENTS)) if not self.ending else ():
            if number not in self.clients:
                self.connect(number).send(b"early\n")
                if self.proxied:  # nobody knows whose header is read first
                    await self.settle()
        await self.settle()

    async def settle(self) -> None:
        """Wait until nothing moves any more, then compare."""
        await self.catch_up()
        self.compare()

    async def catch_up(self) -> None:
        """Wait until nothing moves any more; who reads has read all."""
        moved = True
        while moved:
            if self.server.stop.is_set() and not all(client.done for client in self.clients.values()):
                await trio.sleep(_MOMENT)
            await wait_all_tasks_blocked()
            if self.proxied and sum(client.show() for client in self.clients.values()):
                await wait_all_tasks_blocked()
            self.let_in()
            read = [client for client in self.clients.values() if self._reads(client) and client.read()]
            # The server may have waited for room, unless all has come that may.
            moved = self.kernel.fills_up and any(client.wants_more for client in read)

    def let_in(self) -> None:
        """Take note of who waits no longer; nobody does while there is room."""
        for place, client in enumerate(self.clients.values()):
            if client.waiting and place < len(self.kernel.accepted):
                client.waiting = False
                client.forsaken |= self.passing  # nobody knows when its time began
        if self.server.kind.serves is Serves.REQUESTS and not self.ending:
            assert self._open_sockets() <= FEW, "more are let in than may be"
            room = self._open_sockets() < FEW
            assert not (room and any(client.waiting for client in self.clients.values())), "nobody is let in"

    def _reads(self, client: Client) -> bool:
        return client.reading and not client.gone

    def compare(self) -> None:
        """Compare what the clients have received, and what was reported, with what is due."""
        if self.reports.timed_out:
            assert trio.current_time() - self.stopped >= LIMITS.drain_timeout, "the drain was cut short"
            self.cut_off = True
        for client in self.clients.values():
            if not client.gone:
                client.compare(cut_off=self.cut_off)
        assert all(isinstance(failure, BombError) for failure in self.reports.failures), self.reports.failures
        tempted = sum(b"!" in client.sent for client in self.clients.values())
        assert len(self.reports.failures) <= tempted
        # Whom the server has given up has nobody to serve a last line, be there a bang in it.
        heard = sum(each.failed and each.owed is None and self._reads(each) for each in self.clients.values())
        assert self.ending or len(self.reports.failures) >= heard

    async def keep_silent(self) -> None:
        """Let a little more than the opening delay pass, with nobody saying anything."""
        await self.settle()
        await self.pass_time(_SHORT)

    async def speak_at_last(self) -> None:
        """Let the opening delay be over just as the client, which has sent something, is heard."""
        _jump(LIMITS.prompt_delay)
        await self.pass_time(_SHORT)

    async def wait_long(self) -> None:
        """Let more pass than a line may take, a send, or a client that lingers."""
        await self.settle()
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
        await self.pass_time(_LONG, gradually=bool(self.moments & 1))
        self.passing = False
        assert self.reports.timed_out or not stuck, "the drain has no end"
        here = [client for client in self.clients.values() if client in late or not client.over]
        alive = [client for client in here if client not in blocked]
        assert self._open_sockets() <= len(alive), "a connection outlives its conversation"

    def _blocks(self, client: Client) -> bool:
        """Whether a client leaves unread more than the kernel holds for it."""
        deaf = not client.reading and not client.done and self.kernel.small_buffers
        due = client.expected()[0] if client.owed is None else client.owed
        return deaf and not client.received and len(due) >= len(_LONG_LINES)

    def _open_sockets(self) -> int:
        return sum(sock.fileno() >= 0 for sock in self.kernel.accepted)

    async def pass_time(self, seconds: float, *, gradually: bool = True) -> None:
        """Let time pass: who is silent is prompted if either side may speak first, who is idle is dropped.

        If not gradually, most of it passes in one moment: the machine was busy, or asleep.
        """
        passed = seconds
        for client in self.clients.values():
            client.show()
        if seconds > _NOTICED:
            await trio.sleep(_NOTICED)
            await self.catch_up()  # with the prompt, where the silence is over by now
            seconds -= _NOTICED
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
        await self.settle()

    async def fail_accept(self, number: int, *, thoroughly: bool = False) -> None:
        """Let the accept of a new client fail; the server goes on accepting."""
        await self.settle()
        full = self.server.kind.serves is Serves.REQUESTS and self._open_sockets() >= FEW
        if self.ending or full or len(self.clients) == len(CLIENTS):
            return
        thoroughly &= not self.server.spare_gone
        self.kernel.faults += [number] * (_AGAIN if thoroughly else 1)
        self.kernel.spares_gone = 1 + (self.moments & 1) if thoroughly else 0
        before = len(self.reports.refusals)
        self.current = self.connect(next(n for n in range(len(CLIENTS)) if n not in self.clients))
        self.cut_off = number == errno.EBADF
        if number == errno.EMFILE and not (thoroughly or self.server.spare_gone):
            self.current.refused, self.current.stranger = True, False
            self.current.forsaken = self.kernel.most_sent > 0  # it is told in one send, come what may
        if number == errno.EMFILE:
            self.server.spare_gone = self.kernel.spares_gone > 1
        await self.pass_time(_SHORT)
        reported = 2 if thoroughly else int(number in {errno.EMFILE, errno.ENOMEM})
        assert len(self.reports.refusals) - before == reported

    async def drain(self) -> None:
        """Tell the server to stop; all that was sent before is answered."""
        if any(client.waiting for client in self.clients.values()):
            await self.settle()  # there may be room by now
        self.begin_drain()
        await self.settle()

    async def connect_late(self) -> None:
        """Connect while the server is stopping: whoever still gets in is served."""
        if self.ending:
            return
        await self.settle()
        self.begin_drain()
        for _ in range(self.moments):
            await trio.lowlevel.checkpoint()
        try:
            client = self.connect(len(CLIENTS))
        except ConnectionRefusedError:
            return
        client.send(b"q\n")
        client.owed, _ = client.expected()
        await self.settle()

    async def drain_late(self) -> None:
        """Tell the server to stop at the moment when silent clients are to be prompted."""
        await self.settle()
        for client in self.clients.values():
            unserved = client.refused or client.stranger or client.slow or client.waiting
            if client.silent and self.plan.first is First.EITHER and client.owed is None and not unserved:
                client.owed, client.prompted = client.prompted, self.plan.prompt  # may be prompted or not
        self.begin_drain()
        for _ in range(self.moments):
            await trio.lowlevel.checkpoint()
        _jump(LIMITS.prompt_delay)
        await self.settle()

    def begin_drain(self) -> None:
        """Tell the server to stop, unless it has been told."""
        for client in self.clients.values() if not self.cut_off else ():
            if client.waiting:
                self._reject(client)
            client.forsaken |= client.slow  # it gets a little more time
            if client.owed is None:
                client.owed, _ = client.expected()
        if not self.server.stop.is_set():
            self.stopped = trio.current_time()
            self.server.stop.set()

    async def retire(self) -> None:
        """Tell the server to accept no more; who is there is served to the end."""
        await self.settle()
        for client in self.clients.values():
            if client.waiting:
                client.leave()  # others may serve it, where there are any
        self.server.retire.set()
        await self.settle()

    async def cancel(self) -> None:
        """Cancel the server, which is to end at once, whatever its clients do."""
        self.cut_off = True
        self.server.scope.cancel()
        await self.settle()
        assert self.server.over.is_set(), "the cancellation was swallowed"

    async def finish(self, *, at_once: bool) -> None:
        """Let every client that is still there end its output and read to the end."""
        if not at_once:
            await self.settle()
        for client in self.clients.values():
            client.reading = True
            if not self.cut_off and client.owed is None:
                client.end()
        await self.settle()
        for client in self.clients.values():
            assert client.gone or client.eof


def _jump(seconds: float) -> None:
    """Let time pass before anybody can do anything about it."""
    clock = trio.lowlevel.current_clock()
    assert isinstance(clock, MockClock)
    clock.jump(seconds)


#: What a step makes the client do that is meant.
_BY_CLIENT: Final[dict[int, Callable[[Client], None]]] = {
    END: Client.end,
    ord("s"): Client.stop_reading,
    ord("g"): Client.go_on_reading,
    ord("!"): Client.leave,
    ord("b"): lambda client: client.send(_LONG_LINES[-3 * client.plan.limit :]),
}
#: What it does to the server, or lets happen.
_TO_SERVER: Final = {
    SILENCE: Stage.keep_silent,
    ord("k"): Stage.speak_at_last,
    ord("t"): Stage.wait_long,
    ord("d"): Stage.drain,
    ord("j"): Stage.drain_late,
    ord("n"): Stage.crowd,
    ord("q"): Stage.connect_late,
    ord("c"): Stage.cancel,
    ord("r"): Stage.retire,
    ord("_"): Stage.settle,
}
KNOWN: Final = frozenset({*CLIENTS, *_FAULTS, _THOROUGH, *_BY_CLIENT, *_TO_SERVER})
