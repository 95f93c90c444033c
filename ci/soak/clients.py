"""Clients of every kind, good and bad: each knows what it has to be answered, and how its connection ends.

They use asyncio, so that nothing of what is tested is on both sides.
"""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic
from typing import Final

from caas_trio import Oversize
from caas_trio.core.telemetry import Outcome
from ci.bench.server import where
from ci.soak.chance import dice
from ci.soak.ledger import Ledger

#: What the services are started with: short enough for clients to run into, and long enough for those
#: that do not mean to, however busy the machine is.
TIMEOUT: Final = 10.0
MAX_LINE: Final = 4096

#: How long the server waits for a client to leave, which is no option.
LINGER: Final = 2.0
#: How long a client waits for anything.
TIMEOUT_S: Final = 60.0

#: Seconds. A client that the machine has held up for so long is excused for being late.
STALL: Final = TIMEOUT / 5

_READ: Final = 65536
_SMALL: Final = 16384
_ERROR: Final = f"error: line longer than {MAX_LINE} bytes\n".encode()

_COMPLETED: Final = frozenset({Outcome.COMPLETED})
_TIMED_OUT: Final = frozenset({Outcome.TIMED_OUT})
_LOST: Final = frozenset({Outcome.LOST})


class WrongError(Exception):
    """The server did not do as it has to."""


class Visit:
    """One connection, from the client's side; what is sent and answered is counted."""

    def __init__(self, sock: socket.socket, policy: Oversize, leaving: asyncio.Event) -> None:
        self.sock = sock
        self.policy = policy
        self.leaving = leaving
        self.begun = monotonic()
        self.sent = self.lines = self.answered = self.oversize = 0
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        """Send all of `data`; it counts as sent even if that fails on the way."""
        self.sent += len(data)
        self.lines += data.count(b"\n")
        await self._loop.sock_sendall(self.sock, data)

    async def receive(self, max_bytes: int = _READ) -> bytes:
        """Return what one read gives."""
        data = await self._loop.sock_recv(self.sock, max_bytes)
        self.answered += len(data)
        return data

    async def expect(self, wanted: bytes, max_bytes: int = _READ, pause: float = 0) -> None:
        """Read exactly this."""
        got = 0
        while got < len(wanted):
            data = await self.receive(min(max_bytes, len(wanted) - got))
            if data != wanted[got : got + len(data)]:
                raise WrongError(f"{data[:40]!r} at byte {got}, and not {wanted[got : got + 40]!r}")
            if not data:
                raise WrongError(f"an end after {got} bytes of {len(wanted)}")
            got += len(data)
            if pause:
                await asyncio.sleep(pause)

    async def expect_end(self) -> None:
        """Read the end of the stream."""
        if data := await self.receive():
            raise WrongError(f"{data[:40]!r}, and not the end")

    async def say(self, data: bytes, wanted: bytes | None = None, pieces: int = 1) -> None:
        """Send `data`, cut up at random, then end the output; read the reply meanwhile, and the end."""
        cuts = sorted(dice.sample(range(len(data)), min(pieces - 1, len(data))))
        async with asyncio.TaskGroup() as both:
            both.create_task(self.expect(data.upper() if wanted is None else wanted))
            for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
                await self.send(data[start:end])
            self.sock.shutdown(socket.SHUT_WR)
        await self.expect_end()


def reset(sock: socket.socket) -> None:
    """End a connection by a reset, where there is such a thing, and not in order."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def some_line() -> bytes:
    """Return a line of any bytes, most often short, and never too long."""
    length = dice.choice((0, 1, 10, 80, 1000, MAX_LINE))
    return dice.randbytes(dice.randint(0, length)).replace(b"\n", b"l") + b"\n"


async def pipelining(visit: Visit) -> None:
    """Send many lines, cut up anywhere, the last of them without its end sometimes."""
    data = b"".join(some_line() for _ in range(dice.randint(1, 30)))
    await visit.say(data[: -dice.randint(0, 1)] or data, pieces=dice.randint(1, 5))


async def asking(visit: Visit) -> None:
    """Ask a few lines, one after the other."""
    for _ in range(dice.randint(1, 8)):
        line = some_line()
        await visit.send(line)
        await visit.expect(line.upper())
    await visit.say(b"")


async def staying(visit: Visit) -> None:
    """Ask now and then, as long as there is load."""
    while not visit.leaving.is_set():
        line = some_line()
        await visit.send(line)
        await visit.expect(line.upper())
        with suppress(TimeoutError):
            await asyncio.wait_for(visit.leaving.wait(), dice.uniform(0.05, 1))
    await visit.say(b"the last one\n")


async def writing_slowly(visit: Visit) -> None:
    """Send a line in drips, in time."""
    for drip in b"in time\n":
        await visit.send(bytes([drip]))
        await asyncio.sleep(0.1)
    await visit.expect(b"IN TIME\n")
    await visit.say(b"")


async def reading_slowly(visit: Visit) -> None:
    """Ask for much, and take it in small sips, in time."""
    visit.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL)
    data = b"".join(some_line() for _ in range(400))
    async with asyncio.TaskGroup() as both:
        both.create_task(visit.expect(data.upper(), _SMALL, 0.02))
        await visit.send(data)
        visit.sock.shutdown(socket.SHUT_WR)
    await visit.expect_end()


async def never_reading(visit: Visit) -> None:
    """Send until there is no more room, and read nothing, until that ends it."""
    lines = (b"x" * 1000 + b"\n") * 60
    with suppress(ConnectionError):
        while True:
            await visit.send(lines)


async def never_ending(visit: Visit) -> None:
    """Begin a line, and go on and on with it, too slowly."""
    begun = monotonic()
    async with asyncio.TaskGroup() as both:
        dripping = both.create_task(drip(visit))
        await visit.expect_end()
        dripping.cancel()
    in_time(begun)


async def drip(visit: Visit) -> None:
    """Send a byte now and then."""
    with suppress(ConnectionError):  # the server may have ended it a moment ago
        while True:
            await visit.send(b"a")
            await asyncio.sleep(0.5)


async def silent(visit: Visit) -> None:
    """Send nothing."""
    await visit.expect_end()
    in_time(visit.begun)


def in_time(begun: float) -> None:
    """Fail if a timeout that began then cannot be over yet."""
    if monotonic() - begun < TIMEOUT - 0.1:
        raise WrongError(f"an end after {monotonic() - begun:.1f} s, before the timeout")


async def half_open(visit: Visit) -> None:
    """Begin a line, fall silent, and do not leave when the server does: it must let go by itself."""
    await visit.send(b"half a li")
    await visit.expect_end()
    await asyncio.sleep(LINGER + 2)
    with suppress(ConnectionError):
        for _ in range(2):  # a TCP that is closed answers the first with a reset
            await visit.send(b"ne\n")
            await asyncio.sleep(1)
        raise WrongError("a server that still listens to who did not leave")


async def resetting(visit: Visit) -> None:
    """Ask, or begin to, and reset the connection."""
    for _ in range(dice.randint(0, 3)):
        line = some_line()
        await visit.send(line)
        if dice.random() < 0.3:
            break
        await visit.expect(line.upper())
    if dice.random() < 0.5:
        await visit.send(b"half a li")
    await asyncio.sleep(dice.uniform(0, 0.02))
    reset(visit.sock)


async def oversize(visit: Visit) -> None:
    """Send a line that is too long between two that are not."""
    longer = dice.choice((MAX_LINE + 1, 2 * MAX_LINE, dice.randint(MAX_LINE + 1, 300_000)))
    data = b"before\n" + b"x" * longer + b"\nafter\n"
    if visit.policy is Oversize.STREAM:
        return await visit.say(data, pieces=3)
    visit.oversize += 1
    wanted = b"BEFORE\n" + _ERROR + (b"AFTER\n" if visit.policy is Oversize.DISCARD else b"")
    return await visit.say(data, wanted, pieces=3)


async def leaving(visit: Visit) -> None:
    """Connect, and leave."""
    if dice.random() < 0.5:
        await visit.say(b"")


@dataclass(frozen=True)
class Kind:
    """Clients of a kind.

    Attributes:
        act: what they do with a connection.
        count: how many there are at a time, for each service.
        outcomes: how their connections end, in the server's words.
        pause: the most seconds between two visits.
        all_read: whether the server reads all they send.
    """

    act: Callable[[Visit], Awaitable[None]]
    count: int
    outcomes: frozenset[Outcome]
    pause: float = 0.1
    all_read: bool = True


KINDS: Final = (
    Kind(pipelining, 4, _COMPLETED),
    Kind(asking, 4, _COMPLETED),
    Kind(staying, 20, _COMPLETED),
    Kind(writing_slowly, 5, _COMPLETED),
    Kind(reading_slowly, 2, _COMPLETED, 1),
    Kind(never_reading, 2, _TIMED_OUT, 1, all_read=False),
    Kind(never_ending, 5, _TIMED_OUT, all_read=False),
    Kind(silent, 5, _TIMED_OUT),
    Kind(half_open, 3, _TIMED_OUT, all_read=False),
    Kind(resetting, 4, _LOST, all_read=False),
    Kind(oversize, 2, _COMPLETED, all_read=False),
    Kind(leaving, 2, _COMPLETED),
)


async def visit_once(
    kind: Kind, endpoint: str, policy: Oversize, ledger: Ledger, over: asyncio.Event
) -> None:
    """Run one client of a kind, from its connection to its end; write the outcome into the ledger."""
    family, address = where(endpoint)
    with socket.socket(family) as sock:
        sock.settimeout(0)
        if family is socket.AF_INET:  # with one address, ports would run out: each waits a minute
            sock.setsockopt(socket.IPPROTO_IP, _BIND_ADDRESS_NO_PORT, 1)
            sock.bind((f"127.0.1.{dice.randint(1, 250)}", 0))
        visit = Visit(sock, policy, over)
        try:
            await connect(sock, address)
        except OSError as error:
            return ledger.fault(f"{kind.act.__name__} at {endpoint}: cannot connect: {error}")
        outcomes = kind.outcomes
        if family is socket.AF_UNIX and kind.outcomes is _LOST:
            outcomes |= _COMPLETED  # no resets there: it may be an end like others
        all_read = kind.all_read
        try:
            async with asyncio.timeout(None if kind.act is staying else TIMEOUT_S):
                await kind.act(visit)
        except* (OSError, WrongError) as errors:
            if ledger.stalled < visit.begun:
                ledger.fault(f"{kind.act.__name__} at {endpoint}: {errors.exceptions[0]!r}")
            else:  # it had no chance to be in time
                ledger.excused += 1
                outcomes, all_read = outcomes | _TIMED_OUT, False
        ledger.ends[endpoint][outcomes] += 1
    ledger.visits[kind.act.__name__] += 1
    ledger.received.add(visit.sent, sure=all_read)
    ledger.lines.add(visit.lines, sure=all_read)
    ledger.answered += visit.answered
    ledger.oversize += visit.oversize
    return None


_BIND_ADDRESS_NO_PORT: Final = 24  # IP_BIND_ADDRESS_NO_PORT, which the module `socket` lacks


async def connect(sock: socket.socket, address: str | tuple[str, int]) -> None:
    """Connect; to a Unix socket whose queue is full, in a moment."""
    if sock.family is socket.AF_INET:
        return await asyncio.get_running_loop().sock_connect(sock, address)
    while True:
        try:
            return sock.connect(address)
        except BlockingIOError:
            await asyncio.sleep(0.01)


async def notice_stalls(ledgers: Sequence[Ledger], over: asyncio.Event) -> None:
    """Note when the machine let no client run for so long that one may have missed a timeout."""
    while not over.is_set():
        before = monotonic()
        await asyncio.sleep(0.2)
        if monotonic() - before > STALL:
            for ledger in ledgers:
                ledger.stalled = monotonic()


async def keep_coming(
    kind: Kind, endpoints: list[str], policy: Oversize, ledger: Ledger, over: asyncio.Event
) -> None:
    """Visit again and again, until it is over."""
    while not over.is_set():
        await visit_once(kind, dice.choice(endpoints), policy, ledger, over)
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), dice.uniform(0, kind.pause))
