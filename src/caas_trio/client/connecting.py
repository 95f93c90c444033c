"""A connection to a server, for programs: `connect`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, cast

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import ConnectError, ConnectionLost
from caas_trio.core.limits import Limits
from caas_trio.core.peer import peer_behind
from caas_trio.core.proxy_encoding import encode_proxy_header
from caas_trio.core.proxy_header import ProxyHeader
from caas_trio.core.terminator import Terminator
from caas_trio.core.tls import client_context
from caas_trio.drivers.connecting import connectable, open_stream, reason_of, server_name
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.machine import MACHINE, Machine


@asynccontextmanager
async def connect(
    endpoint: Endpoint | str,
    *,
    limits: Limits | None = None,
    terminator: Terminator = Terminator.LF,
    tls: ssl.SSLContext | None = None,
    server_hostname: str | None = None,
    proxy_header: ProxyHeader | Literal[1, 2] | None = None,
    machine: Machine = MACHINE,
) -> AsyncIterator[Connection]:
    """Yield a connection to a server, over tcp, tls or a Unix socket.

    At the end of the block the output is ended and the server's end waited for, no longer than
    `linger_timeout`; if the block raises, the connection is closed at once.

    Args:
        endpoint: the server.
        limits: `opening_timeout` bounds all that comes before the block; the rest is as for
            `Connection.over`.
        terminator: what ends a line.
        tls: how the certificate of a tls endpoint is verified, see `client_context`; by default it must
            come from a CA that the system trusts, and be for the endpoint's host.
        server_hostname: the name that the certificate must be for instead.
        proxy_header: the bytes that the connection begins with, before TLS; a number for a PROXY header
            of that version with this side's own addresses.
        machine: where the client runs: on the real one, or on a host of `caas_trio.testing.Network`.

    Raises:
        EndpointError: the endpoint is invalid, or does not take connections.
        ConnectError: the server cannot be reached, or leaves before the TLS handshake is done.
        HandshakeFailed: the TLS handshake failed, or its certificate is not trusted.
    """
    target = connectable(Endpoint.parse(endpoint) if isinstance(endpoint, str) else endpoint)
    limits = limits or Limits()
    with trio.move_on_after(limits.opening_timeout) as opening:
        stream = await _open(target, machine)
        connection = Connection.over(
            stream,
            limits=limits,
            terminator=terminator,
            endpoint=target,
            peer=peer_behind(cast("socket.socket", stream.socket)),
        )
        try:
            if proxy_header is not None:
                await connection.send(encode_proxy_header(_header(stream, proxy_header)))
            if target.scheme is Scheme.TLS:
                name = server_hostname or server_name(target.host)
                await connection.start_tls(tls or client_context(), server_hostname=name)
        except BaseException as error:
            stream.socket.close()
            if isinstance(error, (ConnectionLost, OSError)):
                raise ConnectError(str(target), "the server left") from error
            raise
    if opening.cancelled_caught:
        raise ConnectError(str(target), f"no answer within {limits.opening_timeout:g} seconds")
    async with connection:
        yield connection


async def _open(target: Endpoint, machine: Machine) -> trio.SocketStream:
    """Return the stream to a server."""
    try:
        return await open_stream(target, machine)
    except OSError as error:
        raise ConnectError(str(target), reason_of(error)) from error


def _header(stream: trio.SocketStream, header: ProxyHeader | Literal[1, 2]) -> ProxyHeader:
    """Return the header; for a number, one with the addresses of the stream."""
    if isinstance(header, ProxyHeader):
        return header
    ours, theirs = stream.socket.getsockname(), stream.socket.getpeername()
    if isinstance(ours, tuple) and isinstance(theirs, tuple):
        return ProxyHeader(header, ours[:2], theirs[:2])
    return ProxyHeader(header)
