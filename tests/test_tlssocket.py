"""TLS over a socket of the hub's where the kernel has no room, and its memory."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import ConnectionLost, HandshakeFailed, Limits, TooSlow
from caas_trio.core.tlsengine import TlsEngine
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubchannel import HubChannel
from caas_trio.drivers.poller import EPOLLIN, EPOLLOUT
from caas_trio.drivers.tlssocket import TlsSocket, acknowledge

from .certificates import HOST, client_context, hub_over_tls, server_context
from .test_memory import traced

LIMITS = Limits(write_timeout=7, linger_timeout=1)


def fill(sock: socket.socket) -> int:
    """Send until the kernel has no room, and return how many bytes that was."""
    sent = 0
    with suppress(BlockingIOError):
        while True:
            sent += sock.send(b"x")
    return sent


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return a client's and a server's socket, both non-blocking, with little room."""
    ours, theirs = socket.socketpair()
    for sock in (ours, theirs):
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
    with ours, theirs:
        yield ours, theirs


def test_a_handshake_waits_for_room(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    client = TlsEngine(client_context(), server_side=False, server_hostname=HOST)
    server = TlsSocket(theirs, TlsEngine(server_context(), server_side=True))
    assert server.certificate is None
    assert server.handshake_step() == EPOLLIN
    filled = fill(theirs)
    ours.send(client.shake_hands(b""))
    assert server.handshake_step() == EPOLLOUT
    while filled:
        filled -= len(ours.recv(filled))
    answer = b""
    while server.handshake_step() == EPOLLOUT:
        answer += ours.recv(65536)
    answer += ours.recv(65536)
    ours.send(client.shake_hands(answer))
    assert server.handshake_step() == 0
    assert client.established


def test_what_follows_a_hello_is_kept_for_openssl(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    client = TlsEngine(client_context(), server_side=False, server_hostname=HOST)
    server = TlsSocket(theirs, TlsEngine(server_context(), server_side=True))
    change_cipher_spec = b"\x14\x03\x03\x00\x01\x01"  # which TLS 1.3 allows, and which says nothing
    ours.send(client.shake_hands(b"") + change_cipher_spec)
    assert server.handshake_step() == EPOLLIN
    ours.send(client.shake_hands(ours.recv(65536)).removeprefix(change_cipher_spec))
    assert server.handshake_step() == 0


class OverTls:
    """A channel of a hub's that speaks TLS, and its client."""

    def __init__(self) -> None:
        self.raw, theirs = socket.socketpair()
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        self.hub = Hub(LIMITS, Drain())
        self.server: HubChannel = self.hub.channel(theirs)
        self.theirs = theirs
        self.client = hub_over_tls(trio.SocketStream(trio.socket.from_stdlib_socket(self.raw)), self.server)

    async def close(self) -> None:
        await trio.aclose_forcefully(self.client)
        await self.server.aclose()
        self.hub.close()


async def test_a_client_that_does_not_take_close_notify_is_too_slow(autojump_clock: MockClock) -> None:
    made = OverTls()
    fill(made.theirs)
    with pytest.raises(TooSlow, match="the write timeout is over"):
        await made.server.send_eof()
    assert autojump_clock.current_time() == LIMITS.write_timeout
    await made.close()


async def test_close_notify_is_sent_once_there_is_room(autojump_clock: MockClock) -> None:
    made = OverTls()
    filled = fill(made.theirs)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.send_eof)
        await trio.testing.wait_all_tasks_blocked()
        while filled:
            filled -= len(made.raw.recv(filled))
    assert await made.client.receive_some() == b""
    with pytest.raises(ConnectionLost):
        await made.server.send_all(b"behind the end")
    await made.server.send_eof()  # again
    assert autojump_clock.current_time() < LIMITS.write_timeout
    await made.close()


async def test_close_notify_follows_the_records_that_the_kernel_did_not_take(
    autojump_clock: MockClock,
) -> None:
    made = OverTls()
    assert made.server.tls is not None
    with pytest.raises(BlockingIOError):
        made.server.tls.send(b"y" * 50_000)  # it is encrypted, and the kernel has taken a part
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.send_eof)
        received = b""
        while data := await made.client.receive_some():
            received += data
    assert received == b"y" * 50_000
    await made.close()


async def test_a_part_of_what_is_sent_may_be_under_way(autojump_clock: MockClock) -> None:
    made = OverTls()
    data = b"0123456789" * 30_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.send_all, data)
        await trio.testing.wait_all_tasks_blocked()
        received = b""
        while len(received) < len(data):
            received += await made.client.receive_some()
    assert received == data
    assert autojump_clock.current_time() == 0
    await made.close()


@pytest.mark.parametrize("size", [10_000, 100_000])
async def test_what_is_sent_behind_a_cancelled_send_follows_on_it(
    size: int, autojump_clock: MockClock
) -> None:
    made = OverTls()
    with trio.move_on_after(1) as scope:
        await made.server.send_all(b"a" * size)
    assert scope.cancelled_caught
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.server.send_all, b"b")
        received = b""
        while not received.endswith(b"b"):
            received += await made.client.receive_some()
    assert received == b"a" * size + b"b"
    await made.server.send_all(b"end")
    assert await made.client.receive_some() == b"end"
    await made.close()


async def test_input_that_tls_holds_is_told_from_what_the_kernel_holds() -> None:
    made = OverTls()
    made.client.engine.tls.write(b"ab")
    record = made.client.engine._outgoing.read()
    made.raw.send(record[:-1])
    assert made.server.recv_nowait() is None
    assert made.server.buffered == 0
    made.raw.send(record[-1:])
    assert made.server.recv_nowait(1) == b"a"
    assert made.server.buffered == 1
    assert made.server.reading == EPOLLIN | EPOLLOUT
    assert made.server.waiting() == 1
    assert made.server.recv_nowait() == b"b"
    assert made.server.reading == EPOLLIN
    await made.close()


IDLE = """
import resource, socket, ssl, sys, trio
from functools import partial
from caas_trio import LineSession, Limits, Trust, serve_sessions
from tests.certificates import HOST, client_context, server_context
from caas_trio.core.tlsengine import TlsEngine

COUNT = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)

def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096

async def client(port):
    stream = await trio.open_tcp_stream("127.0.0.1", port)
    engine = TlsEngine(client_context(), server_side=False, server_hostname=HOST)
    await stream.send_all(engine.shake_hands(b""))
    while not engine.established:
        answer = engine.shake_hands(await stream.receive_some(65536))
        if answer:
            await stream.send_all(answer)
    await stream.send_all(engine.encrypt(b"hello\\n"))
    await stream.receive_some(65536)
    return stream.socket.detach()  # and OpenSSL's side is let go

async def main():
    trust = Trust(tls=server_context(tickets=2))
    start = partial(serve_sessions, partial(LineSession, bytes.upper), "tls://127.0.0.1:0", trust=trust,
                    limits=Limits(max_connections=5000), driver="hub")
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(start)
        kept = [await client(endpoint.port) for _ in range(50)]
        before = resident()
        kept += [await client(endpoint.port) for _ in range(COUNT)]
        print((resident() - before) // COUNT)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


#: Most of it is OpenSSL's, which takes more since it knows post-quantum key exchange.
IDLE_BYTES = 24 * 1024 if ssl.OPENSSL_VERSION_INFO < (3, 1) else 40 * 1024


def test_an_idle_connection_takes_no_more_than_is_documented() -> None:
    command = [sys.executable, "-c", IDLE, "300"]
    measured = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent.parent
    )
    assert int(measured.stdout) <= IDLE_BYTES


NO_RECORD = b"\x16\x03\x01\x00\x05hello"


@pytest.mark.parametrize("broken", [False, True])
def test_a_reset_in_a_handshake_is_a_lost_connection_unless_it_has_failed(
    pair: tuple[socket.socket, socket.socket], *, broken: bool
) -> None:
    ours, theirs = pair
    server = TlsSocket(theirs, TlsEngine(server_context(), server_side=True))
    theirs.shutdown(socket.SHUT_WR)  # so that the answer cannot be sent
    client = TlsEngine(client_context(), server_side=False, server_hostname=HOST)
    ours.send(NO_RECORD if broken else client.shake_hands(b""))
    with pytest.raises(HandshakeFailed if broken else ConnectionLost):
        server.handshake_step()


def test_a_handshake_that_fails_ends_with_an_alert(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    server = TlsSocket(theirs, TlsEngine(server_context(), server_side=True))
    ours.send(NO_RECORD)
    with pytest.raises(HandshakeFailed, match="unexpected message"):
        server.handshake_step()
    assert ours.recv(100)[:1] == b"\x15"


async def test_each_direction_says_why_it_has_ended() -> None:
    made = OverTls()
    secure = made.server.tls
    assert secure is not None
    made.raw.shutdown(socket.SHUT_WR)
    with pytest.raises(ConnectionResetError, match=r"^the input ended without close_notify$"):
        secure.recv(1)
    secure.shutdown(socket.SHUT_WR)
    with pytest.raises(BrokenPipeError, match=r"^the output has been ended$"):
        secure.send(b"a")
    await made.close()


async def test_what_is_sent_is_encrypted_as_it_goes_out(autojump_clock: MockClock) -> None:
    made = OverTls()
    data = bytes(5_000_000)
    async with trio.open_nursery() as nursery:
        with traced() as memory:
            nursery.start_soon(made.server.send_all, data)
            await trio.testing.wait_all_tasks_blocked()
            assert memory.peak < len(data) / 10
        nursery.cancel_scope.cancel()
    await made.close()


class Options:
    """What a socket is, as far as its options go: it notes them, or raises an error."""

    def __init__(self, error: Exception | None = None) -> None:
        self.noted: list[tuple[int, int, int]] = []
        self._error = error

    def setsockopt(self, level: int, name: int, value: int, /) -> None:
        """Note an option."""
        self.noted.append((level, name, value))
        if self._error is not None:
            raise self._error


@pytest.mark.parametrize("error", [None, OSError(), AttributeError()])
def test_the_acknowledgement_is_asked_for_and_may_be_refused(error: Exception | None) -> None:
    sock = Options(error)
    acknowledge(sock)
    assert sock.noted == [(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)]
