"""The real server, on a Unix socket and under the mock clock, with clients as the fuzzer likes them.

Several clients in turn send in pieces, half-close, vanish, stop reading; accepting fails, sends are
cut short, time passes, the server is told to stop or is cancelled. Each client gets what the oracle
says it is owed, whatever the others do; nothing is left behind; a session's failure is reported once.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from caas_trio import Endpoint, First, Limits, Session, Telemetry, serve_sessions
from fuzz.dialog import CUT, END, SILENCE, header, steps

from .client import BOMB, Client
from .conversation import Plan
from .kernel import Kernel, misbehaving

MODULES: Final = ("caas_trio.server", "caas_trio.stream", "caas_trio.drain")

#: Steps besides those of a dialog. Which client is meant from here on: the first, second or third.
_CLIENTS: Final = b"123"
#: How the accept of another client fails.
_FAULTS: Final = {ord("a"): errno.ECONNABORTED, ord("e"): errno.EMFILE, ord("i"): errno.EBADF}

_LIMITS: Final = Limits(prompt_delay=0.5, linger_timeout=4, drain_timeout=20)
#: A flood, which does not fit small buffers, and the limit with which its lines are not oversize.
_LINES: Final = (b"x" * 1999 + b"\n") * 3
_HIGH_LIMIT: Final = 2000
_FIRST: Final = tuple(First)
_LONG: Final = 30  # seconds: longer than all of these
_MOMENT: Final = 0.05  # within which a conversation that drains looks for input and gives up
_PATIENCE: Final = 1000  # seconds of the mock clock in which everything has to come to its end


class _BombError(RuntimeError):
    """What a failing service raises."""


def _explosive(line: bytes) -> bytes:
    if b"!" in line:
        raise _BombError
    return line.upper()


def _explode(line: bytes) -> bytes:
    return BOMB if b"!" in line else line.upper()


class _Reports(Telemetry):
    """Keeps what the server reports."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []
        self.refusals: list[OSError] = []
        self.timed_out = False

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: str) -> None:  # noqa: ARG002
        self.failures.append(error)

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        self.refusals.append(error)

    def drain_timed_out(self) -> None:
        self.timed_out = True


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    trio.run(play, data, clock=MockClock(autojump_threshold=0))


async def play(data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps.

    Raises:
        AssertionError: a promise was broken.
        Exception: whatever else escaped from the server.
    """
    modes, limit, settings, kinds = header(data)
    plan = Plan.of(bytes([modes, limit % 23 + 1]), _FIRST[settings % 3])
    if limit & 128:
        plan.limit = _HIGH_LIMIT
    if modes & 16:
        plan.heard, plan.service, plan.answer = None, _explosive, _explode
    kernel = Kernel(small_buffers=bool(kinds & 4), most_sent=(0, 1, 7, 0)[kinds & 3])
    before = trio.lowlevel.current_statistics().tasks_living
    stage = _Stage(plan, kernel)
    with misbehaving(kernel), trio.fail_after(_PATIENCE), _unwrapped():
        async with stage.serving():
            stage.turn_to(0)
            for chunk, sign in steps(data, plan.limit, _KNOWN):
                stage.current.send(chunk)
                if sign != CUT:
                    await stage.act(sign)
            await stage.finish()
    assert trio.lowlevel.current_statistics().tasks_living == before, "a task is left behind"
    assert all(sock.fileno() < 0 for sock in kernel.accepted), "a socket is left open"


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise what is in a group of one instead of the group, so that a failure names itself."""
    try:
        yield
    except ExceptionGroup as group:
        error: Exception = group
        while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


class _Stage:
    """The server and its clients."""

    def __init__(self, plan: Plan, kernel: Kernel) -> None:
        self.plan = plan
        self.kernel = kernel
        self.name = f"@caas-fuzz-{os.getpid()}"
        self.reports = _Reports()
        self.stop = trio.Event()
        self.over = trio.Event()
        self.cancelled = trio.CancelScope()
        self.cut_off = False  # by a cancellation or a listening socket that failed
        self.clients: dict[int, Client] = {}

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """Run the server for as long as the block takes, and until it has come to its end."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._serve)
            try:
                yield
            finally:
                for client in self.clients.values():
                    client.leave()
            self.stop.set()

    async def _serve(self, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
        endpoint = f"unix:{self.name}"
        with self.cancelled:
            try:
                await serve_sessions(
                    self.new_session,
                    endpoint,
                    limits=_LIMITS,
                    telemetry=self.reports,
                    stop=self.stop,
                    task_status=task_status,
                )
            except* OSError:
                assert self.cut_off, "the server failed of itself"
        self.over.set()

    def new_session(self) -> Session:
        return self.plan.session()

    def turn_to(self, number: int) -> None:
        """Make a client the one that is meant; it connects if it has not."""
        if number not in self.clients and not self.stop.is_set() and not self.cut_off:
            self.clients[number] = Client(self.plan, f"\0{self.name[1:]}")
        if number in self.clients:
            self.current = self.clients[number]

    async def act(self, sign: int) -> None:
        """Do what a step of the script says."""
        if sign in _CLIENTS:
            self.turn_to(_CLIENTS.index(sign))
        elif sign in _FAULTS:
            await self.fail_accept(_FAULTS[sign])
        elif sign in _BY_CLIENT:
            _BY_CLIENT[sign](self.current)
        else:
            await _TO_SERVER[sign](self)

    async def settle(self) -> None:
        """Wait until nothing moves any more, then compare."""
        moved = True
        while moved:
            if self.stop.is_set():
                await trio.sleep(_MOMENT)
            await wait_all_tasks_blocked()
            moved = sum(client.read() for client in self.clients.values() if self._reads(client)) > 0
        self.compare()

    def _reads(self, client: Client) -> bool:
        return client.reading and not client.gone

    def compare(self) -> None:
        """Compare what the clients have received, and what was reported, with what is due."""
        if self.reports.timed_out:
            assert trio.current_time() - self.stopped >= _LIMITS.drain_timeout, "the drain was cut short"
            self.cut_off = True
        for client in self.clients.values():
            if not client.gone:
                client.compare(cut_off=self.cut_off)
        assert all(isinstance(failure, _BombError) for failure in self.reports.failures), (
            self.reports.failures
        )
        tempted = sum(b"!" in client.sent for client in self.clients.values())
        assert len(self.reports.failures) <= tempted
        heard = sum(client.failed and self._reads(client) for client in self.clients.values())
        assert self.cut_off or self.stop.is_set() or len(self.reports.failures) >= heard

    async def keep_silent(self) -> None:
        """Let a little more than the opening delay pass, with nobody saying anything."""
        await self.settle()
        await self.pass_time(2 * _LIMITS.prompt_delay)

    async def wait_long(self) -> None:
        """Let longer pass than any limit."""
        await self.settle()
        await self.pass_time(_LONG)

    async def pass_time(self, seconds: float) -> None:
        """Let time pass; who has been silent is prompted if either side may speak first."""
        await trio.sleep(seconds)
        if not self.stop.is_set():
            for client in self.clients.values():
                if client.silent and self.plan.first is First.EITHER:
                    client.prompted = self.plan.prompt
        await self.settle()

    async def fail_accept(self, number: int) -> None:
        """Let the accept of a new client fail; after a pause the server goes on accepting."""
        if self.stop.is_set() or self.cut_off or len(self.clients) == len(_CLIENTS):
            return
        await self.settle()
        self.kernel.faults.append(number)
        before = len(self.reports.refusals)
        self.turn_to(next(other for other in range(len(_CLIENTS)) if other not in self.clients))
        self.cut_off = number == errno.EBADF
        await self.pass_time(2 * _LIMITS.prompt_delay)
        assert len(self.reports.refusals) - before == (number == errno.EMFILE)

    async def drain(self) -> None:
        """Tell the server to stop; all that was sent before is answered."""
        if not self.cut_off:
            for client in self.clients.values():
                if client.owed is None:
                    client.owed, _ = client.expected()
        if not self.stop.is_set():
            self.stopped = trio.current_time()
            self.stop.set()
        await trio.sleep(_LIMITS.prompt_delay / 2)
        await self.settle()

    async def cancel(self) -> None:
        """Cancel the server, which is to end at once, whatever its clients do."""
        self.cut_off = True
        self.cancelled.cancel()
        await self.settle()
        assert self.over.is_set(), "the cancellation was swallowed"

    async def finish(self) -> None:
        """Let every client that is still there end its output and read to the end."""
        await self.settle()
        for client in self.clients.values():
            client.reading = True
            if not self.cut_off and client.owed is None:
                client.end()
        await self.settle()
        for client in self.clients.values():
            assert client.gone or client.eof


#: What a step makes the client do that is meant.
_BY_CLIENT: Final[dict[int, Callable[[Client], None]]] = {
    END: Client.end,
    ord("s"): Client.stop_reading,
    ord("g"): Client.go_on_reading,
    ord("!"): Client.leave,
    ord("b"): lambda client: client.send(_LINES),
}
#: What it does to the server, or lets happen.
_TO_SERVER: Final = {
    SILENCE: _Stage.keep_silent,
    ord("t"): _Stage.wait_long,
    ord("d"): _Stage.drain,
    ord("c"): _Stage.cancel,
    ord("_"): _Stage.settle,
}
_KNOWN: Final = frozenset({*_CLIENTS, *_FAULTS, *_BY_CLIENT, *_TO_SERVER})
