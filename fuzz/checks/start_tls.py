"""TLS from the middle of a conversation on: nothing that was sent in plain is ever taken for a part of it.

A peer asks for TLS, or agrees to it, and something may stand behind its words, as CVE-2011-0411 has it; then
it shakes hands as if nothing had happened. All of that is cut at any byte, and handed on before the other
side reads, before it begins TLS, or later. Either side may be ours, over a hub or over a stream.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import trio
import trio.testing
from trio.testing import wait_all_tasks_blocked

from caas_trio import Connection, Endpoint, InternetPeer, Limits, PeerError, StateError
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.stream import READ_SIZE, StreamChannel
from caas_trio.testing import Host, Network
from tests.certificates import HOST, client_context, server_context

from .playing import Player, play_alone

MODULES: Final = ("caas_trio.core.tlsengine",)

_ENDPOINT: Final = Endpoint.parse("tcp://127.0.0.1:7")
_PEER: Final = InternetPeer("127.0.0.1", 1)
_LIMITS: Final = Limits(max_line=100, opening_timeout=4, linger_timeout=1, write_timeout=5)
_END_S: Final = 20.0  # more than the timeouts
_REQUEST: Final = b"STARTTLS\r\n"
_MAX_BEHIND: Final = 24
_SECRET: Final = b"over TLS\n"
#: A peer may pad its hello with a record that says nothing, and may send tickets without end.
_PADDING: Final = b"\x14\x03\x03\x00\x01\x01"
_MANY: Final = 200
_HANDSHAKE_RECORD: Final = b"\x16\x03"  # how one begins
#: How the request is read. What a read leaves in the buffer is behind the request.
_READS: Final[tuple[Callable[[Connection], Awaitable[bytes]], ...]] = (
    lambda connection: connection.receive_line(),
    lambda connection: connection.receive_until(b"\r\n"),
    lambda connection: connection.receive_exactly(len(_REQUEST)),
    lambda connection: connection.receive_line_piece(50),
)
#: What the first byte of an input chooses.
_OURS_IS_CLIENT, _OVER_HUB, _LATE, _DRAINS, _PADS, _FLOODS = 1, 2, 16, 32, 64, 128
_HEADER: Final = 3


class _Bounded(trio.abc.ReceiveStream):
    """Checks that each read is bounded: by itself, a stream may give as much as the other side likes."""

    def __init__(self, source: trio.abc.ReceiveStream) -> None:
        self._source = source

    def receive_some(self, max_bytes: int | None = None) -> Coroutine[Any, Any, bytes | bytearray]:
        assert max_bytes is not None, "a read without a bound"
        assert max_bytes <= READ_SIZE, f"a read of {max_bytes} bytes"
        return self._source.receive_some(max_bytes)

    async def aclose(self) -> None:
        await self._source.aclose()


class Peer:
    """The other side: what it says in plain, and then OpenSSL's own side of a handshake."""

    def __init__(self, stream: trio.abc.HalfCloseableStream, modes: int) -> None:
        server = bool(modes & _OURS_IS_CLIENT)
        self.floods = server and bool(modes & _FLOODS)
        self._pads = not server and bool(modes & _PADS)
        self.stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = server_context(tickets=_MANY if self.floods else 0) if server else client_context()
        hostname = None if server else HOST
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server, server_hostname=hostname
        )
        self._ready = self._failed = False
        self.received = b""

    async def receive(self) -> None:
        """Take in all that comes, until cancelled."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            async for chunk in self.stream:
                self._incoming.write(chunk)

    async def say(self, data: bytes) -> None:
        """Send data in plain, and wait until nothing moves."""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await self.stream.send_all(data)
        await wait_all_tasks_blocked()

    async def go_on(self) -> bool:
        """Go on with the handshake, and with what is said over TLS; return whether anything moved."""
        if self._failed:
            return False
        try:
            if not self._ready:
                self._tls.do_handshake()
                self._ready = True
                self._tls.write(_SECRET)
            self.received += self._tls.read(1000)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError:
            self._failed = True
        records = self._outgoing.read()
        if records and self._pads:
            begins = records.startswith(_HANDSHAKE_RECORD)
            records = records + _PADDING if begins else records.removeprefix(_PADDING)
        if records:
            await self.say(records)
        return bool(records)


def check(data: bytes) -> None:
    """Play one input in a run of its own."""
    play_alone(open_player, data)


@asynccontextmanager
async def open_player() -> AsyncIterator[Player]:
    """Yield the function that plays an input."""
    yield partial(play, Network(traced=False).host("server"))


async def play(host: Host, data: bytes) -> None:
    """Play one input: the mode, two places to cut, and what stands behind the request."""
    modes, first, second = data[:_HEADER].ljust(_HEADER, b"\0")
    behind = data[_HEADER : _HEADER + _MAX_BEHIND]
    drain, hub = Drain(), None
    channel: Channel
    if modes & _OVER_HUB:
        ours, theirs = host.socket_pair()
        stream: trio.abc.HalfCloseableStream = host.stream(theirs)
        hub = Hub(_LIMITS, drain, machine=host)
        channel = hub.channel(ours)
    else:
        memory, stream = trio.testing.memory_stream_pair()
        bounded = trio.StapledStream(memory.send_stream, _Bounded(memory.receive_stream))
        channel = StreamChannel(bounded, _LIMITS, drain)
    connection = Connection(channel, _ENDPOINT, _PEER, _LIMITS, drain)
    peer = Peer(stream, modes)
    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peer.receive)
            if hub is not None:
                nursery.start_soon(hub.run)
            await _converse(connection, peer, modes, behind, (first, second), drain)
            nursery.cancel_scope.cancel()
    finally:
        await trio.aclose_forcefully(stream)
        await channel.aclose()
        if hub is not None:
            hub.close()


async def _converse(  # noqa: PLR0917 - what an input decides
    connection: Connection,
    peer: Peer,
    modes: int,
    behind: bytes,
    cuts: tuple[int, int],
    drain: Drain,
) -> None:
    """Ask for TLS, with something behind it, and compare what becomes of it."""
    text = _REQUEST + behind
    first = cuts[0] % (len(_REQUEST) + 1)
    second = len(_REQUEST) + cuts[1] % (len(behind) + 1)
    await peer.say(text[:first])
    await peer.say(text[first:second])
    read = await _READS[(modes >> 2) % len(_READS)](connection)
    assert read == _REQUEST, f"{read!r} was read as the request"
    if not modes & _LATE:
        await peer.say(text[second:])
    if modes & _DRAINS:
        drain.begin()
    upgrade = Upgrade(connection, client=bool(modes & _OURS_IS_CLIENT))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(upgrade.run)
        await wait_all_tasks_blocked()
        if modes & _LATE:
            await peer.say(text[second:])
        while await peer.go_on():
            await wait_all_tasks_blocked()
        if not upgrade.over and cuts[0] & 1:
            with suppress(trio.BrokenResourceError):
                await peer.stream.send_eof()
            await wait_all_tasks_blocked()
        if not upgrade.over:
            await trio.sleep(_END_S)
        await peer.go_on()
        assert upgrade.over, "an upgrade has no end"
        nursery.cancel_scope.cancel()
    lenient = peer.floods or bool(modes & _DRAINS)
    await upgrade.judge(behind, read=second > len(_REQUEST), lenient=lenient)


class Upgrade:
    """Our side's upgrade, and what it reads after it."""

    def __init__(self, connection: Connection, *, client: bool) -> None:
        self._connection = connection
        self._client = client
        self._upgraded = False
        self._read: bytes | None = None
        self._failure: PeerError | None = None

    @property
    def over(self) -> bool:
        return self._failure is not None or self._read is not None

    async def run(self) -> None:
        """Begin TLS, and exchange a line over it."""
        try:
            if self._client:
                await self._connection.start_tls(client_context(), server_hostname=HOST)
            else:
                await self._connection.start_tls(server_context())
            self._upgraded = True
            await self._expect_no_more_tls()
            self._read = await self._connection.receive_line()
            await self._connection.send(_SECRET)
        except PeerError as error:
            self._failure = error

    async def _expect_no_more_tls(self) -> None:
        try:
            await self._connection.start_tls(server_context())
        except StateError:
            return
        raise AssertionError("TLS within TLS")

    async def judge(self, behind: bytes, *, read: bool, lenient: bool) -> None:
        """Check what became of it, with so much behind the request, of which some was read with that.

        What was not may be a record without content, which OpenSSL skips; then nothing of it is read.
        """
        if read or (behind and not behind.startswith(_HANDSHAKE_RECORD)):
            assert self._read is None, f"{self._read!r} was taken for something that came over TLS"
        elif not (lenient or behind):
            assert self._failure is None, f"{self._failure!r} although the peer did nothing wrong"
        if not self._upgraded:
            await _expect_closed(self._connection)
        elif self._read is not None:
            right = self._read == _SECRET or (lenient and not self._read)
            assert right, f"{self._read!r} was read over TLS"


async def _expect_closed(connection: Connection) -> None:
    """Check that nothing can be read or sent behind an upgrade that failed."""
    for call in (connection.receive_line, lambda: connection.send(_SECRET), connection.receive_some):
        try:
            await call()
        except (StateError, PeerError):
            continue
        raise AssertionError("a connection is open whose upgrade failed")
