"""The handshakes before a conversation: `Handshaker`, for PROXY headers and TLS."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final, NamedTuple

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import ConnectionLost, HandshakeFailed, ProxyHeaderError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.peer import InternetPeer, Peer
from caas_trio.core.proxy_header import MAX_HEADER, ProxyHeader, ProxyHeaderParser
from caas_trio.core.tls import Certificates
from caas_trio.core.trust import Trust
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.driver import Driver
from caas_trio.drivers.machine import MACHINE, Machine

from .admission import Admission, Host, words_for

#: Found faster than on the class, before Python 3.12.
_TLS: Final = Scheme.TLS


class Established(NamedTuple):
    """A connection whose handshakes are done; its host is counted.

    Attributes:
        channel: what it goes over; it owns the socket.
        peer: the client, or the proxy that speaks for itself.
        host: what the client counts as, by `Admission`.
    """

    channel: Channel
    peer: Peer
    host: Host


class Refused(Exception):  # noqa: N818 - a verdict
    """A connection is refused.

    Attributes:
        reason: why not.
        peer: the other side: the client, once a proxy has named it.
        words: what the client is sent; b"" for nothing.
    """

    def __init__(self, reason: str, peer: Peer, words: bytes = b"") -> None:
        self.reason = reason
        self.peer = peer
        self.words = words


class Handshaker:
    """Performs the handshakes of a server's connections."""

    def __init__(
        self,
        limits: Limits,
        trust: Trust,
        drain: Drain,
        driver: Driver,
        admission: Admission,
        *,
        machine: Machine = MACHINE,
    ) -> None:
        self._limits = limits
        self._trust = trust
        self._drain = drain
        self._driver = driver
        self._admission = admission
        self._machine = machine

    def required(self, endpoint: Endpoint) -> bool:
        """Return whether connections to this endpoint begin with a handshake."""
        return endpoint.scheme is _TLS or self._trust.expects_header(endpoint)

    async def perform(self, sock: socket.socket, peer: Peer, endpoint: Endpoint) -> Established:
        """Read the PROXY header and perform the TLS handshake, as the endpoint requires.

        All of it takes no longer than `limits.opening_timeout`, and less once the server drains. The caller
        closes the socket if it fails.

        Raises:
            ConnectionLost: the client left, or reset the connection.
            Refused: the client did something else, is too slow, or may not connect.
        """
        host: Host = None
        try:
            with self._drain.opening(self._limits.opening_timeout) as scope:
                if self._trust.expects_header(endpoint):
                    client = await self._read_client(sock, peer)
                    if client is not None:
                        peer, host = client, self._admit(client, endpoint)  # before TLS
                channel = await self._open_channel(sock, secure=endpoint.scheme is _TLS)
                established, host = Established(channel, peer, host), None
                return established
            raise Refused(str(TooSlow("opening_timeout")), peer)
        except HandshakeFailed as error:
            await self._linger(sock, scope.deadline)
            raise Refused(str(error), peer) from error
        except ProxyHeaderError as error:
            raise Refused(str(error), peer) from error
        finally:
            self._admission.release_host(host)

    async def _read_client(self, sock: socket.socket, proxy: Peer) -> InternetPeer | None:
        """Read the PROXY header; return the client it names, or None if it names nobody.

        Nobody's host is counted then: the proxy's own would be one for all its checks and unknown clients.
        """
        header = await _proxy_header(sock, self._machine)
        if header.local:
            return None
        client = InternetPeer(*header.source) if isinstance(header.source, tuple) else None
        objection = self._trust.objection(client or proxy)
        if objection is not None:
            raise Refused(objection, client or proxy)
        return client

    def _admit(self, client: InternetPeer, endpoint: Endpoint) -> Host:
        """Count the host that a PROXY header has named, and return it."""
        host = self._admission.host_of(client.host)
        reason = self._admission.admit_host(host)
        if reason is not None:
            raise Refused(reason, client, words_for(endpoint))
        return host

    async def _open_channel(self, sock: socket.socket, *, secure: bool) -> Channel:
        """Return the channel over a socket, after the TLS handshake where there is to be one."""
        channel = self._driver.channel(sock)
        if secure:
            tls = self._trust.tls
            context = tls.context if isinstance(tls, Certificates) else tls
            assert context is not None  # noqa: S101 - or the endpoint would not be served
            await channel.start_tls(context, server_side=True)
        return channel

    async def _linger(self, sock: socket.socket, deadline: float) -> None:
        """Read on until the client has ended its output, for `linger_timeout` or until the deadline.

        A close with unread input would make the kernel send a reset, which can destroy the alert.
        """
        stream = self._machine.stream(sock)
        with self._drain.opening(self._limits.linger_timeout) as scope, suppress(trio.BrokenResourceError):
            scope.deadline = min(scope.deadline, deadline)
            await stream.send_eof()
            while await stream.receive_some(65536):
                pass


async def _proxy_header(sock: socket.socket, machine: Machine) -> ProxyHeader:
    """Read the header, and not a byte more."""
    sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
    parser = ProxyHeaderParser()
    begun = False
    while parser.header is None:
        await machine.wait_readable(sock)
        try:
            waiting = sock.recv(MAX_HEADER, socket.MSG_PEEK)
            if not waiting:
                if not begun:
                    raise ConnectionLost
                parser.end_of_input()
            sock.recv(parser.feed(waiting))
            begun = True
        except BlockingIOError:
            continue
        except OSError as error:
            raise ConnectionLost from error
    return parser.header
