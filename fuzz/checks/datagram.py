"""`serve_datagrams` on a simulated network: each datagram comes to the end it is due, with one reply at most.

Under the mock clock. What the script sends between two looks arrives as one burst.
"""

from __future__ import annotations

import errno
import math
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import (
    DatagramRequestHandler,
    Endpoint,
    EndpointError,
    Limits,
    Telemetry,
    Trust,
    serve_datagrams,
)
from caas_trio.core.datagramrules import Drop
from caas_trio.core.peer import Peer
from caas_trio.server.watchdog import Watchdog
from caas_trio.testing import Network
from fuzz.script import CUT, header, steps, tokens

from .datagramrules import check_rules
from .datagramsocket import check_socket
from .playing import Player, play_alone

MODULES: Final = ("caas_trio.server.datagram", "caas_trio.core.datagramrules")

#: Steps besides the cut, which sends: compare; switch to another client (the last one has
#: no address); time passes; the client leaves; the server is stopped.
_LOOK, _TIME, _LEAVE, _STOP = b"_t!d"
_CLIENTS: Final = b"123"
_NAMELESS: Final = 2
#: How the next receive fails, or the next send.
_IN: Final = {ord("u"): errno.ECONNREFUSED, ord("m"): errno.ENOBUFS, ord("i"): errno.EBADF}
_OUT: Final = {ord("a"): errno.EAGAIN, ord("l"): errno.EMSGSIZE, ord("r"): errno.EHOSTUNREACH}
_KNOWN: Final = frozenset({_LOOK, _TIME, _LEAVE, _STOP, *_CLIENTS, *_IN, *_OUT})
TOKENS: Final = (*tokens(_KNOWN), b"!", b"?", b"#", b"+", b"w", b"z")

_REASONS: Final = {
    errno.EAGAIN: Drop.NO_ROOM,
    errno.EMSGSIZE: Drop.TOO_LONG,
    errno.EHOSTUNREACH: Drop.UNREACHABLE,
}

#: Every user; our own; another one.
_UID: Final = 1000
_TRUST: Final = (
    Trust(),
    Trust(allow_uids=frozenset({_UID})),
    Trust(allow_uids=frozenset({_UID + 1})),
    Trust(),
)
_PORT, _CLIENT_PORT = 7, 50000
_UDP: Final = Endpoint.parse(f"udp://server:{_PORT}")
_UNIX: Final = Endpoint.parse("unixgram:@server")

_MAX_HANDLED: Final = 3  # datagrams that handlers may work on at a time
_LIMITS: Final = Limits(max_datagrams=_MAX_HANDLED, drain_timeout=5)
_SLOW_S, _ENDLESS_S = 1, 1000  # seconds that a handler takes


def _answer(data: bytes) -> Any:
    """Answer a datagram in the way that it asks for."""
    if b"!" in data:
        raise RuntimeError
    if b"?" in data:
        return None
    if b"#" in data:
        return "no bytes"
    return data.upper() + b"+" if b"+" in data else bytearray(data.upper())


class _Handler(DatagramRequestHandler):
    async def handle(self) -> None:
        _runner.get().compare_told(self)
        async with trio.open_nursery():
            lines = await self.rfile.readlines(2)
            async for line in self.rfile:
                assert line, "an empty line in place of the end"
                lines.append(line)
            data = b"".join(lines) + await self.rfile.read()
            assert data == self.packet, f"{data!r} was read of {self.packet!r}"
            await trio.sleep(_ENDLESS_S if b"z" in data else _SLOW_S if b"w" in data else 0)
            answer = _answer(data)
            if answer == "no bytes":
                await self.wfile.writelines([])
            elif answer is not None:
                written = await self.wfile.write(answer[:1])
                assert written == len(answer[:1]), f"{written} written"
                await self.wfile.writelines([answer[1:]])
                await self.wfile.flush()


class _Reports(Telemetry):
    """Counts the ends that datagrams come to."""

    def __init__(self) -> None:
        self.ends: Counter[str] = Counter()

    def datagram_served(self, endpoint: Endpoint) -> None:  # noqa: ARG002
        self.ends["served"] += 1

    def datagram_dropped(self, reason: str, endpoint: Endpoint, sender: Peer | None) -> None:  # noqa: ARG002
        self.ends[reason] += 1

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:  # noqa: ARG002
        expected = isinstance(error, RuntimeError | TypeError)
        self.ends["failed" if expected else repr(error)] += 1  # what a telemetry raises is only logged

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:  # noqa: ARG002
        self.ends["no memory"] += 1

    def drain_timed_out(self) -> None:
        self.ends["cut off"] += 1


def check(data: bytes) -> None:
    """Play one script in a run of its own."""
    play_alone(open_player, data)


@asynccontextmanager
async def open_player() -> AsyncIterator[Player]:
    """Yield the function that plays a script."""
    for misuse, kind in (
        (partial(serve_datagrams, _answer), EndpointError),
        (partial(serve_datagrams, int, "unixgram:@"), TypeError),  # type: ignore[arg-type]
        (partial(serve_datagrams, play, "unixgram:@"), TypeError),  # type: ignore[arg-type]
    ):
        try:
            await misuse()
        except kind:
            continue
        raise AssertionError(f"{kind} was expected")
    yield play


async def play(data: bytes) -> None:
    """Play one script; the clock has to be a mock clock that jumps."""
    choice, ports, lengths, order = header(data)
    check_rules(ports, lengths)
    check_socket(order, lengths)
    trust, from_afar = _TRUST[choice >> 1 & 3], bool(choice & 8)
    runner = _DatagramScriptRunner(
        Network(order), handlers=bool(choice & 1), trust=trust, from_afar=from_afar
    )
    async with trio.open_nursery() as nursery:
        await nursery.start(runner.run)
        for chunk, sign in steps(data, 1, _KNOWN):
            runner.send(chunk)
            if sign != CUT:
                await runner.act(sign)
        await runner.look()
        runner.stop.set()
    runner.finish()


#: Whose server a handler runs in.
_runner: Final[ContextVar[_DatagramScriptRunner]] = ContextVar("runner")


class _DatagramScriptRunner:
    """A server of datagrams, its clients, and what is due."""

    def __init__(self, network: Network, *, handlers: bool, trust: Trust, from_afar: bool) -> None:
        self.handlers = handlers
        self.trust = trust
        self.from_afar = from_afar
        self.strangers = trust is _TRUST[2] and not from_afar
        self.network = network
        self.host = self.network.host("server")
        self.host.set_credentials(1, _UID, _UID)
        self.host.datagram_burst = 64 if handlers else 1  # tasks run between bursts
        self.reports = _Reports()
        self.stop = trio.Event()
        self.broken = False
        self.beat = -math.inf  # when it last gave a sign of life
        self.endpoint = _UDP if from_afar else _UNIX
        self.address = (self.host.address, _PORT) if from_afar else "\0server"
        self.clients = [self.client(number) for number in range(len(_CLIENTS))]
        self.addresses = {client.getsockname() or None for client in self.clients}
        self.current = 0
        self.sent: list[tuple[int, bytes]] = []
        self.slow: list[tuple[float, int, bytes]] = []
        self.endless = 0
        self.obstacles: list[int] = []
        self.due: Counter[str] = Counter()
        self.replies: Counter[tuple[int, bytes]] = Counter()
        self.received: Counter[tuple[int, bytes]] = Counter()

    async def run(self, task_status: trio.TaskStatus[list[Endpoint]]) -> None:
        """Serve until stopped; a socket that fails is what the script wanted."""
        _runner.set(self)
        try:
            await serve_datagrams(
                _Handler if self.handlers else _answer,
                self.endpoint,
                limits=_LIMITS,
                trust=self.trust,
                telemetry=self.reports,
                stop=self.stop,
                watchdog=Watchdog(self._feed, _SLOW_S),
                machine=self.host,
                task_status=task_status,
            )
        except* OSError as group:
            assert self.broken, group.exceptions

    def compare_told(self, handler: _Handler) -> None:
        """Compare what a handler is told of the server and the sender with what they are."""
        server = handler.server.endpoint, handler.server.server_address
        due = (_UDP, ("server", _PORT)) if self.from_afar else (_UNIX, "@server")
        assert server == due, f"a handler is told that the server is {server}"
        address = handler.client_address
        assert address in self.addresses, f"a handler is told of {address!r}"

    def _feed(self) -> None:
        self.beat = trio.current_time()

    def client(self, number: int) -> Any:
        """Return a client's socket; one on the server's host has no address."""
        if self.from_afar:
            host = self.network.host(f"client{number}")
            client = host.new_socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.bind((host.address, _CLIENT_PORT))
            return client
        client = self.host.new_socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        if number != _NAMELESS:
            client.bind(f"\0client{number}")
        return client

    def send(self, data: bytes) -> None:
        """Send a datagram; what finds no server is not due anything."""
        client = self.clients[self.current]
        if client.closed or self.stop.is_set() or self.broken:
            return
        with suppress(BlockingIOError):
            client.sendto(data, self.address)
            self.sent.append((self.current, data))

    async def act(self, sign: int) -> None:
        """Run one step of the script."""
        if sign in _CLIENTS:
            self.current = _CLIENTS.index(sign)
            return
        if sign == _STOP:
            self.stop.set()
        await self.look()
        if sign in _OUT and not self.handlers:  # whose tasks run in any order
            twice = self.from_afar and self.clients[self.current].closed and _OUT[sign] != errno.EAGAIN
            self.obstacles = [_OUT[sign]] * (1 + twice)
        elif sign in _IN:
            await self.fail_receive(_IN[sign])
        elif sign == _TIME:
            await trio.sleep(2 * _SLOW_S)
            stopped = self.stop.is_set() or self.broken
            assert stopped or trio.current_time() - self.beat <= _SLOW_S, "no sign of life in time"
            await self.look()
        elif sign == _LEAVE:
            self.clients[self.current].close()

    async def fail_receive(self, number: int) -> None:
        """Fail the next receive, after sending a datagram that causes one."""
        before = len(self.sent)
        self.send(b"f")
        if len(self.sent) == before:
            return
        self.host.fail_receives(number)
        self.broken = number == errno.EBADF
        self.due["no memory" if number == errno.ENOBUFS else Drop.UNDELIVERED] += 1
        with self.obstructed():
            await trio.sleep(0.27)  # receiving pauses; no handler ends in the moment that it is over
        await self.look()

    @contextmanager
    def obstructed(self) -> Iterator[None]:
        """Fail the server's next sends within a block; clients on its host send outside of one."""
        self.host.fail_sends(*self.obstacles)
        yield
        self.host.fail_sends()

    async def look(self) -> None:
        """Wait until nothing moves any more, then compare."""
        with self.obstructed():
            await wait_all_tasks_blocked()
        busy = len(self.slow) + self.endless
        for sender, data in self.sent:
            if self.strangers:
                self.due["the user is not allowed"] += 1
                busy -= 1  # no task works on it
            elif self.handlers and busy >= _MAX_HANDLED:
                self.due[Drop.BUSY] += 1
            elif self.handlers and b"z" in data:
                self.endless += 1
            elif self.handlers and b"w" in data:
                self.slow.append((trio.current_time() + _SLOW_S, sender, data))
            else:
                self.end(sender, data)
            busy += 1
        self.sent = []
        for slow in [each for each in self.slow if each[0] <= trio.current_time()]:
            self.slow.remove(slow)
            self.end(*slow[1:])
        self.compare()

    def end(self, sender: int, data: bytes) -> None:
        """Note what a datagram comes to."""
        answer = None if b"!" in data or b"?" in data else data.upper() + b"+" * (b"+" in data)
        if b"#" in data and b"?" not in data:
            answer = b""
        if b"!" in data or (b"#" in data and b"?" not in data and not self.handlers):
            self.due["failed"] += 1
        elif answer is None:
            self.due["served"] += 1
        elif len(answer) > len(data):
            self.due[Drop.LONGER] += 1
        elif sender == _NAMELESS and not self.from_afar:
            self.due[Drop.NO_ADDRESS] += 1
        else:
            self.due[self.send_reply(sender, answer)] += 1

    def send_reply(self, sender: int, answer: bytes) -> str:
        """Return what a reply comes to; over IP, an error may be an earlier reply's, and it is sent again."""
        gone = self.clients[sender].closed
        obstacles, self.obstacles = self.obstacles, []
        if self.from_afar and len(obstacles) == 1 and obstacles != [errno.EAGAIN]:
            self.due[Drop.UNDELIVERED] += 1
        elif obstacles:
            return _REASONS[obstacles[0]]
        if gone and not self.from_afar:
            return Drop.UNREACHABLE
        if not gone:
            self.replies[sender, answer] += 1
        return "served"

    def compare(self) -> None:
        """Compare what was received, and what was reported, with what is due."""
        for number, client in enumerate(self.clients):
            while not client.closed:
                try:
                    self.received[number, client.recv(1 << 16)] += 1
                except BlockingIOError:
                    break
        if not self.broken:
            assert +self.reports.ends == +self.due, f"{self.reports.ends} instead of {self.due}"
            assert self.received == self.replies, f"{self.received} instead of {self.replies}"

    def finish(self) -> None:
        """Compare for the last time, after the server's end."""
        self.due["cut off"] += self.endless > 0
        for _, sender, data in self.slow:
            self.end(sender, data)
        self.compare()
