"""`Connection.start_tls`: TLS from the middle of a conversation on, on both sides and over each driver."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, suppress
from functools import partial

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import (
    Certificates,
    Connection,
    ConnectionLost,
    HandshakeFailed,
    Limits,
    PeerError,
    StateError,
    TooSlow,
    Trust,
    UsageError,
)
from caas_trio.core.telemetry import Outcome
from caas_trio.drivers.choice import DriverName, make_driver
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.stream import StreamChannel
from caas_trio.drivers.tlsstream import TlsStream
from caas_trio.testing import Network

from .certificates import HOST, authority, client_context, server_context, write_files
from .support.drivers import serve
from .support.recorder import ConnectionRecorder
from .support.streams import receive, receive_all
from .test_connection import ENDPOINT, LIMITS, PEER, Pair, opened_pair

_REQUEST, _ANSWER, _INJECTED = b"STARTTLS\r\n", b"go ahead\r\n", b"RSET\r\n"
_OPENING_S = 5


@pytest.fixture(params=["memory", "stream", "hub"])
def pair(request: pytest.FixtureRequest, nursery: trio.Nursery) -> Iterator[Pair]:
    """Run the test once over each kind of channel that begins in plain."""
    with opened_pair(str(request.param), nursery) as opened:
        yield opened


def client_of(pair: Pair, context: ssl.SSLContext | None = None) -> TlsStream:
    """Return the client's side over TLS, before its handshake."""
    return TlsStream(pair.client, context or client_context(), server_side=False, server_hostname=HOST)


async def start_tls(pair: Pair, context: ssl.SSLContext | None = None) -> TlsStream:
    """Perform both sides of a handshake, and return the client's."""
    client = client_of(pair)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.do_handshake)
        await pair.connection.start_tls(context or server_context())
    return client


async def test_a_conversation_goes_on_over_tls_up_to_its_end(pair: Pair, nursery: trio.Nursery) -> None:
    connection = pair.connection
    await pair.client.send_all(_REQUEST)
    assert await connection.receive_line() == _REQUEST
    await connection.send(_ANSWER)
    await receive(pair.client, _ANSWER)
    client = await start_tls(pair)
    await client.send_all(b"hello\nand a tail")
    assert await connection.receive_line() == b"hello\n"
    await connection.send(b"HELLO\n")
    assert await client.receive_some() == b"HELLO\n"
    await client.send_eof()
    assert await connection.receive_line() == b"and a tail"
    assert await connection.receive_line() == b""
    await connection.send_eof()
    assert await receive_all(client) == b""
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("cut", range(len(_REQUEST), len(_REQUEST + _INJECTED) + 1))
async def test_what_is_sent_behind_the_request_is_never_served_whatever_the_cut(
    cut: int, pair: Pair, nursery: trio.Nursery
) -> None:
    connection, data = pair.connection, _REQUEST + _INJECTED
    await pair.client.send_all(data[:cut])
    assert await connection.receive_line() == _REQUEST
    await connection.send(_ANSWER)
    await pair.client.send_all(data[cut:])
    with pytest.raises(HandshakeFailed) as raised:
        await connection.start_tls(server_context())
    assert raised.value.connection is connection
    assert ("plain data" in raised.value.reason) is (cut > len(_REQUEST))
    with pytest.raises(StateError, match=r"closed$"):
        await connection.receive_line()
    with pytest.raises(StateError, match=r"closed$"):
        await connection.send(b"a")
    nursery.cancel_scope.cancel()


async def test_the_rest_of_a_line_that_is_being_dropped_is_plain_data_too(
    pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"x" * (LIMITS.max_line + 1))
    with pytest.raises(PeerError, match="line longer"):
        await pair.connection.receive_line()
    with pytest.raises(HandshakeFailed) as raised:
        await pair.connection.start_tls(server_context())
    assert raised.value.reason == "plain data behind the request for TLS"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("said", "reason"),
    [(b"\x16\x03\x01\x00\x00", "an empty record"), (b"\x16\x03\x01\x00\x05hello", "unexpected message")],
)
async def test_a_handshake_that_fails_is_raised_with_its_reason(
    said: bytes, reason: str, pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(said)
    with pytest.raises(HandshakeFailed, match=f"^no TLS handshake: {reason}$") as raised:
        await pair.connection.start_tls(server_context())
    assert raised.value.connection is pair.connection
    nursery.cancel_scope.cancel()


async def test_a_client_that_never_begins_is_too_slow(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    with pytest.raises(TooSlow, match="the opening timeout is over"):
        await pair.connection.start_tls(server_context())
    assert autojump_clock.current_time() == _OPENING_S
    nursery.cancel_scope.cancel()


async def test_a_stop_does_not_wait_for_a_slow_upgrade(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    pair.drain.begin()
    with pytest.raises(TooSlow):
        await pair.connection.start_tls(server_context())
    assert autojump_clock.current_time() == 1
    nursery.cancel_scope.cancel()


async def test_a_client_that_leaves_is_lost(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.aclose()
    with pytest.raises(ConnectionLost):
        await pair.connection.start_tls(server_context())
    nursery.cancel_scope.cancel()


async def test_calls_that_do_not_fit_are_refused(pair: Pair, nursery: trio.Nursery) -> None:
    connection = pair.connection
    why = r"^start_tls needs a certificate: --tls-cert, Trust\(tls=\.\.\.\), or an argument$"
    with pytest.raises(UsageError, match=why):
        await connection.start_tls()

    async def read() -> None:
        assert await connection.receive_line() == b"a\n"

    async with trio.open_nursery() as reading:
        reading.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(StateError, match="another task"):
            await connection.start_tls(server_context())
        await pair.client.send_all(b"a\n")
    client = await start_tls(pair)
    with pytest.raises(StateError, match=r"^start_tls does not fit the state over TLS already$"):
        await connection.start_tls(server_context())
    await client.send_all(b"b\n")
    assert await connection.receive_line() == b"b\n"
    await connection.aclose()
    with pytest.raises(StateError, match=r"closed$"):
        await connection.start_tls(server_context())
    nursery.cancel_scope.cancel()


async def test_a_send_in_another_task_is_finished_in_plain(nursery: trio.Nursery) -> None:
    made = Pair("hub")
    assert made.hub is not None
    nursery.start_soon(made.hub.run)
    much, connection = b"x" * 3_000_000, made.connection
    nursery.start_soon(connection.send, much)
    await trio.testing.wait_all_tasks_blocked()
    nursery.start_soon(connection.start_tls, server_context())
    await trio.testing.wait_all_tasks_blocked()
    await receive(made.client, much)
    client = client_of(made)
    await client.do_handshake()
    await connection.send(b"a")
    assert await client.receive_some() == b"a"
    nursery.cancel_scope.cancel()
    made.close()


async def test_during_the_handshake_sends_wait_and_reads_are_refused(
    pair: Pair, nursery: trio.Nursery
) -> None:
    connection, client = pair.connection, client_of(pair)
    nursery.start_soon(connection.start_tls, server_context())
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(StateError, match="busy"):
        await connection.receive_line()
    nursery.start_soon(connection.send, b"a")
    await trio.testing.wait_all_tasks_blocked()
    await client.do_handshake()
    assert await client.receive_some() == b"a"
    nursery.cancel_scope.cancel()


async def test_a_cancelled_upgrade_closes_the_connection(pair: Pair, nursery: trio.Nursery) -> None:
    with trio.CancelScope() as scope:
        scope.cancel()
        await pair.connection.start_tls(server_context())
    assert scope.cancelled_caught
    with pytest.raises(StateError, match=r"closed$"):
        await pair.connection.send(b"a")
    nursery.cancel_scope.cancel()


async def test_the_certificate_of_the_client_is_known_afterwards(
    pair: Pair, nursery: trio.Nursery, tmp_path: object
) -> None:
    certificates = Certificates(*write_files(tmp_path))  # type: ignore[arg-type]
    client = client_of(pair, client_context(shown=authority().issue_cert("client.example")))
    async with trio.open_nursery() as both:
        both.start_soon(client.do_handshake)
        await pair.connection.start_tls(certificates)
    assert pair.connection.certificate is not None
    assert ("DNS", "client.example") in pair.connection.certificate["subjectAltName"]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("name", ["stream", "hub"])
async def test_the_end_of_the_handshake_is_acknowledged_at_once(
    name: DriverName, autojump_clock: MockClock
) -> None:
    host = Network().host("here")
    ours, theirs = host.socket_pair()
    with closing(make_driver(name, LIMITS, Drain(), None, counting=False, machine=host)) as driver:
        channel = driver.channel(theirs)
        client = TlsStream(host.stream(ours), client_context(), server_side=False, server_hostname=HOST)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.do_handshake)
            await channel.start_tls(server_context(), server_side=True)
        assert theirs.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK) == 1
        await trio.aclose_forcefully(client)
        await channel.aclose()


@pytest.mark.parametrize("serves", [True, False])
async def test_either_side_starts_tls_as_the_server_or_the_client(
    pair: Pair, nursery: trio.Nursery, *, serves: bool
) -> None:
    drain = Drain()
    other = Connection(StreamChannel(pair.client, LIMITS, drain), ENDPOINT, PEER, LIMITS, drain)
    server, client = (pair.connection, other) if serves else (other, pair.connection)
    async with trio.open_nursery() as both:
        both.start_soon(server.start_tls, server_context())
        await client.start_tls(client_context(), server_hostname=HOST)
    await client.send(b"hello\n")
    assert await server.receive_line() == b"hello\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("hostname", [HOST, "elsewhere.example"])
async def test_a_client_checks_the_server_s_certificate_by_default(
    hostname: str, pair: Pair, nursery: trio.Nursery
) -> None:
    drain = Drain()
    other = Connection(StreamChannel(pair.client, LIMITS, drain), ENDPOINT, PEER, LIMITS, drain)

    async def be_refused() -> None:
        with pytest.raises(HandshakeFailed, match=r"unknown ca|bad certificate"):
            await pair.connection.start_tls(server_context())

    async with trio.open_nursery() as both:
        both.start_soon(be_refused)
        with pytest.raises(HandshakeFailed, match=r"certificate|mismatch"):
            await other.start_tls(client_context() if hostname != HOST else None, server_hostname=hostname)
    nursery.cancel_scope.cancel()


@asynccontextmanager
async def serving(
    trust: Trust, recorder: ConnectionRecorder
) -> AsyncIterator[tuple[trio.SocketStream, list[bytes]]]:
    """Yield a client of a server that knows one command, and the list of what it is asked over TLS."""
    asked: list[bytes] = []

    async def handle(connection: Connection) -> None:
        assert await connection.receive_line() == _REQUEST
        await connection.send(_ANSWER)
        await connection.start_tls()
        async for line in connection:
            asked.append(line)
            await connection.send(line.upper())

    limits = Limits(linger_timeout=30)
    start = partial(serve, handle, "tcp://127.0.0.1:0", trust=trust, telemetry=recorder, limits=limits)
    async with trio.open_nursery() as nursery:
        [endpoint] = await nursery.start(start)
        async with await trio.open_tcp_stream(endpoint.host, endpoint.port) as client:
            yield client, asked
        nursery.cancel_scope.cancel()


@pytest.mark.usefixtures("driver")
async def test_a_server_shows_the_certificate_of_its_tls_endpoints() -> None:
    recorder = ConnectionRecorder()
    async with serving(Trust(tls=server_context()), recorder) as (plain, asked):
        await plain.send_all(_REQUEST)
        await receive(plain, _ANSWER)
        client = TlsStream(plain, client_context(), server_side=False, server_hostname=HOST)
        await client.do_handshake()
        await client.send_all(b"hello\n")
        await client.send_eof()
        assert await receive_all(client) == b"HELLO\n"
    assert asked == [b"hello\n"]
    assert recorder.outcomes == [Outcome.COMPLETED]


@pytest.mark.usefixtures("driver")
async def test_a_client_that_injects_is_ended_in_an_orderly_way() -> None:
    recorder = ConnectionRecorder()
    async with serving(Trust(tls=server_context()), recorder) as (plain, asked):
        await plain.send_all(_REQUEST + _INJECTED)
        with suppress(trio.BrokenResourceError):
            await plain.send_eof()
        assert await receive_all(plain) in (_ANSWER, b"")
    assert asked == []
    assert recorder.outcomes == [Outcome.PEER_ERROR]
