"""Any exception at any step of a connection's opening: it costs that connection, and nothing else.

A server on a simulated host, under the mock clock, with an endpoint in plain, one behind a proxy and one
over TLS. While one client connects, one call of the code that opens connections fails. The others are served
before and after; all places and descriptors are given back; the server ends when it is stopped, and not
before.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio import (
    Connection,
    Endpoint,
    Limits,
    LineSession,
    Telemetry,
    Trust,
    serve,
    serve_sessions,
)
from caas_trio.core import peer, proxy_header, trust
from caas_trio.core.peer import Peer
from caas_trio.core.telemetry import ConnectionStats, Outcome, ServerStats
from caas_trio.core.tlsengine import TlsEngine
from caas_trio.drivers import tlsstream
from caas_trio.drivers.tlssocket import TlsSocket
from caas_trio.server import handshaker
from caas_trio.server.served import ServedConnection
from caas_trio.testing import Host, Network
from tests.certificates import HOST, client_context, server_context

from .faults import Fault, codes_of
from .playing import Player, play_alone

MODULES: Final = ("caas_trio.server.handshaker",)

_LIMITS: Final = Limits(max_connections=3, opening_timeout=4, linger_timeout=1, drain_timeout=5)
_ERRORS: Final[tuple[Callable[[], BaseException], ...]] = (
    lambda: ValueError("planted"),
    lambda: UnicodeDecodeError("utf-8", b"\xff", 0, 1, "planted"),
    lambda: OSError(5, "planted"),
    lambda: MemoryError("planted"),
    lambda: KeyError("planted"),
    lambda: EOFError("planted"),
    lambda: ssl.SSLError("planted"),
    lambda: trio.ClosedResourceError("planted"),
)
#: What the client does: what there is to be done; half of it, and leaves; nothing, until it is too late;
#: something else.
_WHOLE, _HALF, _NOTHING, _WRONG = range(4)
_PROXY_HEADER: Final = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
_END_TIMEOUT_S: Final = 100
_SILENCE_S: Final = 10  # more than the timeouts
_ADDRESS: Final = "opening"


class _Reports(Telemetry):
    """Counts; each call may be the one that fails."""

    def __init__(self) -> None:
        self.reported = 0
        self.stats: ServerStats | None = None

    def counting(self, stats: ServerStats) -> None:
        self.stats = stats

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.reported += 1

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:  # noqa: ARG002
        self.reported += error is not None

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:  # noqa: ARG002
        self.reported += 1


class _ReportsOnEach(_Reports):
    """Hears of each connection too."""

    def connection_opened(self, endpoint: Endpoint, peer: Peer) -> None:
        pass

    def connection_closed(
        self,
        outcome: Outcome,
        stats: ConnectionStats | None,
        endpoint: Endpoint,
        peer: Peer,
        seconds: float,
    ) -> None:
        pass


async def _handle(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


def _new_session() -> LineSession:
    return LineSession(bytes.upper)


#: The calls that may fail: all that is done for a connection before its conversation begins. Not what
#: is done for the server: to tell a handshake of the stop, to ask what an endpoint requires, once for all
#: that are accepted together; nor what closes the socket, which nothing else could do then.
_STEPS: Final = codes_of(
    (peer, proxy_header, trust, tlsstream, handshaker),
    _handle,
    _new_session,
    _Reports.connection_refused,
    _Reports.conversation_ended,
    _Reports.conversation_failed,
    _ReportsOnEach.connection_opened,
    _ReportsOnEach.connection_closed,
    TlsEngine.shake_hands,
    TlsEngine.certificate,
    TlsEngine.feed,
    TlsEngine.read,
    TlsEngine.encrypt,
    TlsSocket.handshake_step,
    TlsSocket.recv,
    TlsSocket.send,
    ServedConnection._reject,
) - codes_of(
    (),
    handshaker.Handshaker.__init__,
    handshaker.Handshaker.required,
    trust.Trust.bound,
    trust.Trust.expects_header,
    tlsstream.TlsStream.aclose,
)


def check(data: bytes) -> None:
    """Play one input in a run of its own."""
    play_alone(open_player, data)


@asynccontextmanager
async def open_player() -> AsyncIterator[Player]:
    """Yield the function that plays an input."""
    yield partial(play, Network(traced=False).host("server"))


async def play(host: Host, data: bytes) -> None:
    """Play one input: which call fails, how, where the client connects, what it does, what it meets."""
    number, kind, where, doing, setup = data[:5].ljust(5, b"\0")
    fault = Fault(_ERRORS[kind % len(_ERRORS)](), number)
    reports = _ReportsOnEach() if setup & 2 else _Reports()
    serving = partial(serve, _handle) if setup & 4 else partial(serve_sessions, _new_session)
    endpoints = [f"unix:@{_ADDRESS}", f"unix:@{_ADDRESS}-proxied", "tls://127.0.0.1:0"]
    proxied = frozenset({Endpoint.parse(endpoints[1])})
    stop = trio.Event()
    before = host.open_descriptors
    logging.getLogger("caas_trio").disabled = True  # where a telemetry that fails is reported
    try:
        async with trio.open_nursery() as nursery:
            listening = await nursery.start(
                partial(
                    serving,
                    *endpoints,
                    limits=_LIMITS,
                    trust=Trust(tls=server_context(), proxy_on=proxied),
                    telemetry=reports,
                    driver="stream" if setup & 1 else "hub",
                    stop=stop,
                    machine=host,
                )
            )
            await _meet(host, listening[where % 3], doing % 4, fault)
            stop.set()
    finally:
        logging.getLogger("caas_trio").disabled = False
    assert reports.stats is not None, "nothing was counted"
    still_open = sum(each.accepted - sum(each.ended.values()) for each in reports.stats.listeners)
    assert still_open == 0, f"{still_open} connections count as open after {fault.raised}"
    by_telemetry = fault.raised is None or "Reports" in fault.raised
    if not by_telemetry and isinstance(fault.error, KeyError | MemoryError):  # the others may be a peer's
        assert reports.reported, f"{fault.error!r} in {fault.raised} was not reported"
    leaked = host.open_descriptors - before
    assert leaked <= 0, f"{leaked} descriptors are left open after {fault.raised}"


async def _meet(host: Host, endpoint: Endpoint, doing: int, fault: Fault) -> None:
    """Connect one client, for which a call fails; have others served before and after."""
    witness = _connect(host)
    with witness:
        await _exchange(witness)
        with trio.move_on_after(_END_TIMEOUT_S) as scope:
            with fault.armed(_STEPS):
                await _visit(host, endpoint, doing)
                await wait_all_tasks_blocked()
        assert not scope.cancelled_caught, f"the client was kept after {fault.raised}"
        await trio.sleep(_SILENCE_S)
        await _exchange(witness)
        others = [_connect(host) for _ in range(_LIMITS.max_connections - 1)]
        try:
            for other in others:
                await _exchange(other)
        finally:
            for other in others:
                other.close()


async def _visit(host: Host, endpoint: Endpoint, doing: int) -> None:
    """Be the client for which a call may fail; whatever becomes of it is right."""
    secure, proxied = not endpoint.path, endpoint.path.endswith("-proxied")
    if secure:
        stream = await host.open_tcp(endpoint.host, endpoint.port)
    else:
        stream = await host.open_unix(f"\0{endpoint.path[1:]}")
    async with stream:
        with suppress(trio.BrokenResourceError, ssl.SSLError), trio.move_on_after(_SILENCE_S):
            if doing == _NOTHING:
                await trio.sleep(_SILENCE_S)
            elif doing == _WRONG:
                await stream.send_all(b"GET / HTTP/1.1\r\n\r\n")
                await stream.receive_some()
            elif secure:
                await _speak_tls(stream, whole=doing == _WHOLE)
            else:
                header = _PROXY_HEADER if proxied else b""
                await stream.send_all(header + b"hello\n" if doing == _WHOLE else header[:9])
                if doing == _WHOLE:
                    await stream.receive_some()


async def _speak_tls(stream: trio.SocketStream, *, whole: bool) -> None:
    if not whole:
        await stream.send_all(b"\x16\x03\x01\x02\x00\x01")
        return
    secure = trio.SSLStream(stream, client_context(), server_hostname=HOST)
    await secure.do_handshake()
    await secure.send_all(b"hello\n")
    await secure.receive_some()


def _connect(host: Host) -> Any:
    client = host.new_socket(socket.AF_UNIX, socket.SOCK_STREAM)
    client.connect(f"\0{_ADDRESS}")
    return client


async def _exchange(client: Any) -> None:
    """Send a line and receive the reply."""
    await wait_all_tasks_blocked()
    client.send(b"line\n")
    await wait_all_tasks_blocked()
    try:
        received = client.recv(100)
    except BlockingIOError:
        received = b""
    assert received == b"LINE\n", f"another client received {received!r}"
