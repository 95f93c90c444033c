"""Listening sockets: `listen` opens a `Listener` for an `Endpoint`."""

from __future__ import annotations

import contextlib
import errno
import math
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.errors import EndpointError, ListenError
from caas_trio.core.trust import Trust
from caas_trio.drivers.machine import MACHINE, Machine

from .inherited import INHERITED, inherit
from .socketoptions import SocketOptions
from .threads import thread_needed
from .unixsocket import BACKLOG, UnixSocket, bind_unix

_TRIES_FOR_A_COMMON_PORT: Final = 8

#: What turns an option of a socket on.
_ON: Final = 1

#: How many keepalive probes may go unanswered, all within the time that the first one was waited for.
_PROBES: Final = 4

#: What an address family that the machine does not have is refused with.
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_REASONS: Final[dict[int | None, str]] = {
    errno.EADDRINUSE: "the address is in use",
    errno.EADDRNOTAVAIL: "the address is not one of this machine's",
    errno.EACCES: "permission denied",
    errno.ENOENT: "the directory does not exist",
    errno.ENOTDIR: "a part of the path is no directory",
}

#: Where the reason alone says which file it is about.
_ABOUT_THE_PATH: Final = frozenset({errno.ENOENT, errno.ENOTDIR})


#: What is served over stream sockets, and over datagram sockets.
_SERVED: Final = {
    socket.SOCK_STREAM: (
        {Scheme.TCP, Scheme.TLS},
        Scheme.UNIX,
        "sessions are served over tcp, tls, unix, fd and systemd endpoints",
    ),
    socket.SOCK_DGRAM: (
        {Scheme.UDP},
        Scheme.UNIXGRAM,
        "datagrams are served over udp and unixgram endpoints",
    ),
}


@dataclass
class Listener:
    """An endpoint that accepts connections, or takes datagrams.

    `serve` and its like take one in place of an endpoint: one that the caller has opened, or shares
    between processes.

    Attributes:
        asked: the endpoint that was asked for.
        endpoint: where it is, with the real port.
        sockets: the listening or bound sockets, non-blocking; a host name may have several addresses.
        unix: the one of a unix or unixgram endpoint.
        shared: whether other processes accept from the same sockets.
        handed_over: whether a successor has the path of the Unix socket; set by `withdraw`, or by the
            supervisor that has withdrawn it.
    """

    asked: Endpoint
    endpoint: Endpoint
    sockets: list[socket.socket]
    unix: UnixSocket | None = None
    shared: bool = False
    handed_over: bool = False

    @property
    def passes_options_on(self) -> bool:
        """Whether all that is accepted has the options of its listening socket.

        A connection on a Unix socket never has them, and one that was waiting on an inherited socket
        before this process set them does not either.
        """
        return self.asked.scheme in _SERVED[socket.SOCK_STREAM][0]

    async def take_over(self) -> None:
        """Return once the path is ours, if another server still had it; see `UnixSocket.take_over`.

        Raises:
            ListenError: the other server does not let go of it.
        """
        if self.unix is not None:
            with _naming(self.endpoint):
                await self.unix.take_over()

    def withdraw(self) -> None:
        """Take a Unix socket's path away, or hand it over; what waits can still be accepted."""
        if self.unix is not None and self.unix.withdraw():
            self.handed_over = True

    def close(self) -> None:
        """Stop listening."""
        try:
            self.withdraw()
        finally:
            for sock in self.sockets:
                sock.close()


async def listen(
    endpoint: Endpoint,
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    unix_mode: int = Trust.unix_mode,
    takeover: bool = False,
    options: SocketOptions = SocketOptions(),  # noqa: B008 - immutable
    machine: Machine = MACHINE,
) -> Listener:
    """Return a listener for a tcp, tls or unix endpoint, or a udp or unixgram one; the caller closes it.

    Port 0 is replaced by a free port, the same one for all addresses of the host. For `unix_mode`
    and `takeover` see `bind_unix`; what `options` say of the backlog is for `listen_all`.

    Raises:
        ListenError: the machine does not allow it; the reason says why.
        EndpointError: the endpoint is of another scheme.
    """
    internet, local, wanted = _SERVED[kind]
    with _naming(endpoint):
        if endpoint.scheme in internet:
            return await _listen_internet(endpoint, kind, options, machine)
        if endpoint.scheme is local:
            unix = bind_unix(endpoint, unix_mode, takeover=takeover, machine=machine)
            return Listener(endpoint, endpoint, [unix.sock], unix)
    raise EndpointError(str(endpoint), wanted)


async def listen_all(
    endpoints: Iterable[Endpoint | Listener],
    kind: socket.SocketKind = socket.SOCK_STREAM,
    *,
    unix_mode: int = Trust.unix_mode,
    takeover: bool = False,
    options: SocketOptions = SocketOptions(),  # noqa: B008 - immutable
    machine: Machine = MACHINE,
) -> list[Listener]:
    """Return a listener for each endpoint, or none at all if one of them fails; as `listen`.

    A systemd endpoint has a listener for each socket that was passed; a listener is one already. A
    path that is to be taken over is waited beside, and `Listener.take_over` goes on.
    """
    listeners: list[Listener] = []
    with contextlib.ExitStack() as opened:
        for endpoint in endpoints:
            if isinstance(endpoint, Listener):
                found = [endpoint]
            elif endpoint.scheme in INHERITED:
                taken = inherit(endpoint, kind, machine)
                found = [Listener(endpoint, each.endpoint, [each.sock]) for each in taken]
            else:
                opening = listen(
                    endpoint,
                    kind,
                    unix_mode=unix_mode,
                    takeover=takeover,
                    options=options,
                    machine=machine,
                )
                found = [await opening]
            for listener in found:
                opened.callback(listener.close)
                if kind is socket.SOCK_STREAM:
                    for sock in listener.sockets:
                        _set_stream_options(sock, options)  # they may have been opened with others
                    if not isinstance(endpoint, Listener):
                        set_backlog(listener, options)
            listeners += found
        opened.pop_all()
    return listeners


def stream_options(
    family: int,
    options: SocketOptions = SocketOptions(),  # noqa: B008 - immutable
) -> list[tuple[int, int, int]]:
    """Return what is set on every stream socket of a family: levels, names and values.

    A TCP connection inherits them from its listening socket.

    Urgent data stays in line (RFC 6093, section 5): the kernel would take its last byte out of the
    stream. Each send is an answer: Nagle's algorithm would hold the second of two back until the
    client acknowledges the first, 40 ms later.
    """
    in_line = (socket.SOL_SOCKET, socket.SO_OOBINLINE, _ON)
    return [in_line] if family == socket.AF_UNIX else [in_line, *_tcp_options(options)]


def _tcp_options(options: SocketOptions) -> Iterator[tuple[int, int, int]]:
    asks, gives_up = options.keepalive != math.inf, options.user_timeout != math.inf
    yield socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(asks)
    wanted = {"TCP_NODELAY": _ON, "TCP_USER_TIMEOUT": round(options.user_timeout * 1000) if gives_up else 0}
    if asks:
        wanted |= {
            "TCP_KEEPIDLE": round(options.keepalive),
            "TCP_KEEPINTVL": max(1, round(options.keepalive / _PROBES)),
            "TCP_KEEPCNT": _PROBES,
        }
    known = {name: value for name, value in wanted.items() if hasattr(socket, name)}  # as the system has them
    for name, value in known.items():
        yield socket.IPPROTO_TCP, getattr(socket, name), value


def _set_stream_options(sock: socket.socket, options: SocketOptions) -> None:
    for level, name, value in stream_options(sock.family, options):
        sock.setsockopt(level, name, value)


def set_backlog(listener: Listener, options: SocketOptions) -> None:
    """Set how many connections may wait; not for a socket that was inherited, unless a number is asked for.

    Only for the process that answers for the sockets: the kernel names the one that called `listen` last
    to a successor that takes the path over (SO_PEERCRED, unix(7)).
    """
    backlog = options.backlog or (None if listener.asked.scheme in INHERITED else BACKLOG)
    if backlog is not None:
        for sock in listener.sockets:
            sock.listen(backlog)


@contextlib.contextmanager
def _naming(endpoint: Endpoint) -> Iterator[None]:
    """Turn errors of the machine into a `ListenError` that names the endpoint."""
    try:
        yield
    except OSError as error:
        raise ListenError(str(endpoint), _reason(error)) from error


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host is unknown ({error.strerror})"
    reason = _REASONS.get(error.errno) or (error.strerror or str(error)).lower()
    return (
        reason if error.filename is None or error.errno in _ABOUT_THE_PATH else f"{reason}: {error.filename}"
    )


async def _listen_internet(
    endpoint: Endpoint, kind: socket.SocketKind, options: SocketOptions, machine: Machine
) -> Listener:
    with thread_needed():
        found = await machine.getaddrinfo(endpoint.host, endpoint.port, kind=kind)
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    # A port that is free on the first address may be taken on the next one.
    tries = 1 if endpoint.port else _TRIES_FOR_A_COMMON_PORT
    while True:
        try:
            sockets = _bind_all(addresses, endpoint.port, kind, options, machine)
        except OSError as error:
            tries -= 1
            if error.errno != errno.EADDRINUSE or not tries:
                raise
        else:
            return Listener(endpoint, replace(endpoint, port=sockets[0].getsockname()[1]), sockets)


def _bind_all(
    addresses: Iterable[tuple[int, tuple[object, ...]]],
    port: int,
    kind: socket.SocketKind,
    options: SocketOptions,
    machine: Machine,
) -> list[socket.socket]:
    """Return a socket bound to each address that this machine has, all on the same port."""
    sockets: list[socket.socket] = []
    refusals: list[OSError] = []
    with contextlib.ExitStack() as opened:
        for family, address in addresses:
            try:
                sock = _bind(family, kind, (address[0], port, *address[2:]), options, machine)
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                refusals.append(error)
                continue
            opened.enter_context(sock)
            sockets.append(sock)
            port = sock.getsockname()[1]
        if not sockets:
            raise refusals[0]
        opened.pop_all()
    return sockets


def _bind(
    family: int,
    kind: socket.SocketKind,
    address: tuple[object, ...],
    options: SocketOptions,
    machine: Machine,
) -> socket.socket:
    """Return a non-blocking socket bound to `address`, which listens if connections are its kind."""
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(machine.new_socket(family, kind))
        if kind == socket.SOCK_STREAM:
            # Not for datagrams: there it would let another process take the port away.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, _ON)
            _set_stream_options(sock, options)  # before anything connects
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, _ON)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        opened.pop_all()
    return sock
