"""From an accepted socket to a `Channel`: `Handshaker`.

Most sockets are a channel at once. Some have to show something first: `perform` is for them, and runs
in the connection's own task, so that nobody else waits for a slow one.
"""

from __future__ import annotations

import os
import select
import socket
import ssl
from contextlib import ExitStack, suppress
from typing import Final, NamedTuple

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import ConnectionLost, HandshakeFailed, PeerError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer, peer_of
from caas_trio.core.proxy_header import MAX_HEADER, ProxyHeader, ProxyHeaderParser
from caas_trio.core.telemetry import ServerStats
from caas_trio.core.tls import Certificates, openssl_words
from caas_trio.core.trust import Trust
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubchannel import CountingHubChannel, HubChannel
from caas_trio.drivers.stream import StreamChannel
from caas_trio.drivers.tlsstream import TlsStream

#: How long (seconds) an opening may still take once the server is stopping: a few round trips.
_STOPPING_TIMEOUT_S: Final = 1.0

#: Found faster than on the class, before Python 3.12.
_TLS: Final = Scheme.TLS


class Established(NamedTuple):
    """A connection that has shown what it had to."""

    channel: Channel
    peer: Peer


class Refused(Exception):  # noqa: N818 - a verdict
    """A connection is not let in.

    Attributes:
        reason: why not.
        peer: whom that is about: the client, once a proxy has told of it.
    """

    def __init__(self, reason: str, peer: Peer) -> None:
        super().__init__(reason, peer)
        self.reason = reason
        self.peer = peer


class Handshaker:
    """Makes channels for a server; who made it closes it."""

    def __init__(
        self,
        limits: Limits,
        trust: Trust,
        drain: Drain,
        *,
        stats: ServerStats | None = None,
        counting: bool = False,
    ) -> None:
        self.hub = Hub(limits, drain, stats=stats, counting=counting) if hub_wanted() else None
        self._stats = stats
        self._limits = limits
        self._trust = trust
        self._drain = drain

    def close(self) -> None:
        """Give back what the driver holds."""
        if self.hub is not None:
            self.hub.close()

    def plain(self, accepted: socket.socket) -> Channel:
        """Return the channel over a socket, which it owns from now on."""
        if self.hub is not None:
            accepted.setblocking(False)  # noqa: FBT003 - the socket module's signature
            return (CountingHubChannel if self.hub.counting else HubChannel)(accepted, self.hub)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        return StreamChannel(stream, self._limits, self._drain, stats=self._stats)

    def required(self, endpoint: Endpoint) -> bool:
        """Return whether what connects to this endpoint has to show something first: `perform` then."""
        return endpoint.scheme is _TLS or self._trust.expects_header(endpoint)

    async def perform(self, accepted: socket.socket, peer: Peer, endpoint: Endpoint) -> Established:
        """Return the channel and the peer of a socket, once it has shown what it has to.

        The socket is closed if it does not.

        Raises:
            ConnectionLost: the client has left.
            Refused: it did not, within `limits.opening_timeout`.
        """
        with ExitStack() as on_failure:
            on_failure.callback(accepted.close)
            try:
                with trio.move_on_after(self._limits.opening_timeout) as patience:
                    with self._drain.telling(lambda: _hurry(patience)):
                        if self._trust.expects_header(endpoint):
                            peer = self._client(await _proxy_header(accepted), accepted, peer)
                        secure = endpoint.scheme is Scheme.TLS
                        channel = await self._over_tls(accepted) if secure else self.plain(accepted)
                    on_failure.pop_all()
                    return Established(channel, peer)
                raise TooSlow("opening_timeout")
            except ConnectionLost:
                raise
            except PeerError as error:
                if isinstance(error, HandshakeFailed):
                    await self._let_the_alert_arrive(accepted)
                raise Refused(str(error), peer) from error

    def _client(self, header: ProxyHeader, accepted: socket.socket, proxy: Peer) -> Peer:
        """Return who the client is: whom the header tells of, if it may connect, or else the proxy itself."""
        if header.local:
            return proxy
        peer = peer_of(accepted, header.source) if isinstance(header.source, tuple) else proxy
        objection = self._trust.objection(peer)
        if objection is not None:
            raise Refused(objection, peer)
        return peer

    async def _over_tls(self, accepted: socket.socket) -> Channel:
        tls = self._trust.tls
        context = tls.context if isinstance(tls, Certificates) else tls
        assert context is not None  # noqa: S101 - or the endpoint would not be served
        transport = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        stream = TlsStream(transport, context, server_side=True)
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            match error.__cause__:
                case HandshakeFailed() as refused:
                    raise HandshakeFailed(refused.reason) from error
                case ssl.SSLError() as refused:
                    raise HandshakeFailed(openssl_words(refused)) from error
            raise ConnectionLost from error
        # The client's last word needs no answer, so the kernel puts off acknowledging it, by 40 ms;
        # until then Nagle's algorithm keeps the client's first line back.
        with suppress(AttributeError, OSError):  # not Linux, or closed already
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        certificate = stream.tls.getpeercert() or None
        return StreamChannel(stream, self._limits, self._drain, certificate, self._stats)

    async def _let_the_alert_arrive(self, accepted: socket.socket) -> None:
        """Read on for a moment: a close with unread input would make the kernel reset the connection."""
        sock = trio.socket.from_stdlib_socket(accepted)
        with trio.move_on_after(self._limits.linger_timeout), suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            while await sock.recv(65536):
                pass


async def _proxy_header(accepted: socket.socket) -> ProxyHeader:
    """Take the header off the front of the input, and not a byte more."""
    accepted.setblocking(False)  # noqa: FBT003 - the socket module's signature
    parser = ProxyHeaderParser()
    taken = 0
    while parser.header is None:
        await trio.lowlevel.wait_readable(accepted)
        try:
            waiting = accepted.recv(MAX_HEADER, socket.MSG_PEEK)
            if not waiting:
                if not taken:
                    raise ConnectionLost
                parser.end_of_input()
            taken += len(accepted.recv(parser.feed(waiting)))
        except BlockingIOError:
            continue
        except OSError as error:
            raise ConnectionLost from error
    return parser.header


def _hurry(patience: trio.CancelScope) -> None:
    """Let an opening that is under way when the server stops take no longer than it has to."""
    patience.deadline = min(patience.deadline, trio.current_time() + _STOPPING_TIMEOUT_S)


def hub_wanted() -> bool:
    """Return whether the fast driver runs the connections: where there is epoll, unless forbidden."""
    return hasattr(select, "epoll") and os.environ.get("CAAS_TRIO_DRIVER", "hub") != "stream"
