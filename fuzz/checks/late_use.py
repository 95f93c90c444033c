"""A `Connection` that is used on, by tasks, once its handler has returned: no other client notices.

A real server on a simulated host, under the mock clock. One client is talked to by tasks that outlive its
handler; the others exchange a line after each step. A call that begins behind the end raises `StateError`.
"""

from __future__ import annotations

import math
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import Connection, Endpoint, Limits, PeerError, StateError, Telemetry, serve
from caas_trio.core.peer import Peer
from caas_trio.testing import Host, Network
from caas_trio.testing.scheduling import seed_scheduler
from fuzz.script import CUT, END, SILENCE, header, steps, tokens

from .playing import Player, play_alone

MODULES: Final = ("caas_trio.drivers.reading", "caas_trio.drivers.sending")

_LARGE: Final = b"x" * (1 << 20)  # more than the kernel holds for a client that does not read


async def _next_line(connection: Connection) -> bytes:
    """Return the next line as a loop over the connection does, b"" at its end."""
    async for line in connection:
        return line
    return b""


async def _send_many(connection: Connection) -> None:
    """Send more often in a row than is done without giving way to other tasks."""
    for _ in range(130):
        await connection.send(b"x")


#: Steps: the calls of a task, with the names that errors have for them.
_CALLS: Final[dict[int, tuple[str, Callable[[Connection], Awaitable[object]]]]] = {
    ord("s"): ("send", lambda connection: connection.send(b"late\n")),
    ord("b"): ("send", lambda connection: connection.send(_LARGE)),
    ord("m"): ("send", _send_many),
    ord("f"): ("flush", lambda connection: connection.flush()),
    ord("h"): ("send_eof", lambda connection: connection.send_eof()),
    ord("l"): ("receive_line", _next_line),
    ord("o"): ("receive_some", lambda connection: connection.receive_some()),
    ord("e"): ("receive_exactly", lambda connection: connection.receive_exactly(3)),
    ord("u"): ("receive_until", lambda connection: connection.receive_until(b";")),
    ord("w"): ("receive_line_piece", lambda connection: connection.receive_line_piece(2)),
    ord("c"): ("aclose", lambda connection: connection.aclose()),
}
_ACLOSE: Final = ord("c")
#: The handler returns, or fails; its client leaves; another client connects; the handlers of the others
#: send their lines to the first client too, from now on or no more.
_RETURN, _FAIL, _LEAVE, _NEW, _RELAY = b"qx!ny"
_KNOWN: Final = frozenset({*_CALLS, _RETURN, _FAIL, _LEAVE, _NEW, _RELAY, END, SILENCE})
TOKENS: Final = tokens(_KNOWN)

_NAME: Final = "late-use"
_MAX_OTHERS: Final = 4
_LIMITS: Final = Limits(linger_timeout=1, write_timeout=5, line_timeout=math.inf, idle_timeout=math.inf)
_SILENCE_S: Final = 7  # more than the timeouts
_END_TIMEOUT_S: Final = 100


class _HandlerFailedError(Exception):
    """The error that a handler raises at the script's command."""


class _Reports(Telemetry):
    """Keeps what the server reports as a bug of a handler."""

    def __init__(self) -> None:
        self.failures: list[Exception] = []

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.failures.append(error)


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    play_alone(open_player, data)


@asynccontextmanager
async def open_player() -> AsyncIterator[Player]:
    """Yield the function that plays a script."""
    yield partial(play, Network(traced=False).host("server"))


async def play(host: Host, data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps."""
    choice, order, *_ = header(data)
    seed_scheduler(order)  # the order of tasks is the input's too, as in checks/server.py
    runner = _LateUseScriptRunner(host, exits=bool(choice & 2))
    try:
        async with trio.open_nursery() as nursery:
            serving = partial(
                serve,
                runner.handle,
                f"unix:@{_NAME}",
                limits=_LIMITS,
                telemetry=runner.reports,
                driver="stream" if choice & 1 else "hub",
                stop=runner.stop,
                machine=host,
            )
            await nursery.start(serving)
            await runner.connect()
            for chunk, sign in steps(data, 8, _KNOWN):
                runner.send(chunk)
                await runner.act(sign, nursery)
            with trio.fail_after(_END_TIMEOUT_S):
                await runner.finish()
    finally:
        runner.close()


class _LateUseScriptRunner:
    """A server, the client whose connection is used on, and the others."""

    def __init__(self, host: Host, *, exits: bool) -> None:
        self.host = host
        self.exits = exits  # whether its handler fails by a call of sys.exit
        self.reports = _Reports()
        self.stop = trio.Event()
        self.connection: Connection | None = None
        self.leave = trio.Event()
        self.fails = False
        self.relaying = False
        self.returned = False
        self.closed = False
        self.calls = 0  # under way
        self.clients: list[Any] = []
        self.lines = 0

    async def handle(self, connection: Connection) -> None:
        """Wait, for the first client; answer the lines of the others."""
        if self.connection is not None:
            async for line in connection:
                if self.relaying:  # which costs this handler nothing, whatever becomes of the other
                    await self.connection.send(line)
                    await self.connection.flush()
                await connection.send(line.upper())
            return
        self.connection = connection
        try:
            await self.leave.wait()
            if self.fails:
                raise SystemExit(2) if self.exits else _HandlerFailedError
        finally:
            self.returned = True

    async def connect(self) -> None:
        """Connect a client."""
        client = self.host.new_socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.clients.append(client)
        client.connect(f"\0{_NAME}")
        await wait_all_tasks_blocked()

    def close(self) -> None:
        """Close the clients' sockets."""
        for client in self.clients:
            client.close()

    def send(self, data: bytes) -> None:
        """Send as the first client."""
        if data and self.clients[0].fileno() >= 0:
            try:
                self.clients[0].send(data)
            except OSError:  # half-closed, or closed by the server
                return

    async def act(self, sign: int, nursery: trio.Nursery) -> None:
        """Run one step of the script, and have the other clients served."""
        if sign in _CALLS:
            nursery.start_soon(self.call, sign)
        elif sign in {_RETURN, _FAIL}:
            self.fails |= sign == _FAIL and not self.leave.is_set()
            self.leave.set()
        elif sign == _RELAY:
            self.relaying = not self.relaying
        elif sign == _LEAVE:
            self.clients[0].close()
        elif sign == END and self.clients[0].fileno() >= 0:
            _shutdown(self.clients[0])
        elif sign == _NEW and len(self.clients) <= _MAX_OTHERS:
            await self.connect()
        elif sign == SILENCE:
            await trio.sleep(_SILENCE_S)
        if sign != CUT:
            await self.exchange()

    async def call(self, sign: int) -> None:
        """Use the connection, as a task that has outlived its handler may."""
        assert self.connection is not None, "the first client is not served"
        late = self.returned
        self.calls += 1
        outcome = "nothing raised"
        name, call = _CALLS[sign]
        try:
            await call(self.connection)
        except (StateError, PeerError) as error:
            outcome = type(error).__name__
            assert not isinstance(error, StateError) or error.call == name, f"{error} instead of {name}"
        finally:
            self.calls -= 1
        if late:
            failure = self.connection.failure  # what a relayed line has met
            due = "StateError" if failure is None else type(failure).__name__
            due = "nothing raised" if sign == _ACLOSE else due
            assert outcome == due, f"a call behind the end: {outcome} instead of {due}"

    async def exchange(self) -> None:
        """Send a line as each of the others, and receive the reply."""
        await wait_all_tasks_blocked()
        for client in self.clients[1:]:
            self.lines += 1
            client.send(b"line %d\n" % self.lines)
        await wait_all_tasks_blocked()
        if self.relaying:  # they may wait until the first client is found too slow
            await trio.sleep(_SILENCE_S)
        for number, client in enumerate(self.clients[1:], self.lines - len(self.clients) + 2):
            received, due = _received(client), b"LINE %d\n" % number
            assert received == due, f"another client received {received!r} instead of {due!r}"

    async def finish(self) -> None:
        """End the handler and the server, which ends all calls that are under way."""
        self.leave.set()
        await self.exchange()
        self.stop.set()
        while self.calls:
            _received(self.clients[0])
            await trio.sleep(1)
        failures = self.reports.failures
        kind = SystemExit if self.exits else _HandlerFailedError
        assert all(isinstance(each.__cause__ or each, kind) for each in failures), failures
        assert len(failures) == self.fails, f"{len(failures)} failures of a handler reported"


def _shutdown(client: Any) -> None:
    try:
        client.shutdown(socket.SHUT_WR)
    except OSError:  # the server was first
        return


def _received(client: Any) -> bytes:
    """Return what the kernel holds for a client."""
    try:
        return bytes(client.recv(1 << 22)) if client.fileno() >= 0 else b""
    except OSError:
        return b""
