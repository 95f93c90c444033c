"""Listening sockets: from an `Endpoint` to a `Listener`, and back to nothing at the end."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import trio

from .endpoint import Endpoint, Scheme
from .errors import EndpointError, ListenError

#: As deep as the kernel allows: it lowers this to net.core.somaxconn by itself.
BACKLOG: Final = 65535

#: What sun_path of unix(7) holds, less the NUL that ends it.
_MOST_PATH_BYTES: Final = 107

_TRIES_FOR_A_COMMON_PORT: Final = 8

#: What an address family that the machine does not have is refused with.
_NO_SUCH_FAMILY: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_REASONS: Final = {
    errno.EADDRINUSE: "the address is in use",
    errno.EADDRNOTAVAIL: "the address is not one of this machine's",
    errno.EACCES: "permission denied",
    errno.ENOENT: "the directory does not exist",
    errno.ENOTDIR: "a part of the path is no directory",
}


@dataclass
class Listener:
    """An endpoint that accepts connections.

    Attributes:
        endpoint: where, with the real port.
        sockets: the listening sockets, non-blocking; a host name may have several addresses.
    """

    endpoint: Endpoint
    sockets: list[socket.socket]
    _file: tuple[Path, os.stat_result] | None = field(default=None, repr=False)

    def close(self) -> None:
        """Stop listening; remove the socket file if it is still the one that was made here."""
        for sock in self.sockets:
            sock.close()
        if self._file is not None:
            path, made = self._file
            with contextlib.suppress(FileNotFoundError):
                if os.path.samestat(path.lstat(), made):
                    path.unlink()


async def listen(endpoint: Endpoint) -> Listener:
    """Return a listener for a tcp or unix endpoint; the caller closes it.

    Port 0 is replaced by a free port, the same one for all addresses of the host.

    Raises:
        ListenError: the machine does not allow it; the reason says why.
        EndpointError: the endpoint is of another scheme.
    """
    try:
        if endpoint.scheme is Scheme.TCP:
            return await _listen_tcp(endpoint)
        if endpoint.scheme is Scheme.UNIX:
            return _listen_unix(endpoint)
    except OSError as error:
        raise ListenError(str(endpoint), _reason(error)) from error
    raise EndpointError(str(endpoint), "sessions are served over tcp and unix endpoints")


async def listen_all(endpoints: Iterable[Endpoint]) -> list[Listener]:
    """Return a listener for each endpoint, or none at all if one of them fails; as `listen`."""
    listeners: list[Listener] = []
    with contextlib.ExitStack() as opened:
        for endpoint in endpoints:
            listener = await listen(endpoint)
            opened.callback(listener.close)
            listeners.append(listener)
        opened.pop_all()
    return listeners


def _reason(error: OSError) -> str:
    if isinstance(error, socket.gaierror):
        return f"the host is unknown ({error.strerror})"
    known = _REASONS.get(error.errno) if error.errno else None
    return known or (error.strerror or str(error)).lower()


async def _listen_tcp(endpoint: Endpoint) -> Listener:
    found = await trio.socket.getaddrinfo(
        endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    addresses = list(dict.fromkeys((family, address) for family, _, _, _, address in found))
    # A port that is free on the first address may be taken on the next one.
    tries = 1 if endpoint.port else _TRIES_FOR_A_COMMON_PORT
    while True:
        try:
            sockets = _bind_all(addresses, endpoint.port)
        except OSError as error:
            tries -= 1
            if error.errno != errno.EADDRINUSE or not tries:
                raise
        else:
            return Listener(replace(endpoint, port=sockets[0].getsockname()[1]), sockets)


def _bind_all(addresses: Iterable[tuple[int, tuple[object, ...]]], port: int) -> list[socket.socket]:
    """Return a socket listening on each address that this machine has, all on the same port."""
    sockets: list[socket.socket] = []
    refusal: OSError | None = None
    with contextlib.ExitStack() as opened:
        for family, address in addresses:
            try:
                sock = _bind(family, (address[0], port, *address[2:]))
            except OSError as error:
                if error.errno not in _NO_SUCH_FAMILY:
                    raise
                refusal = refusal or error
                continue
            opened.enter_context(sock)
            sockets.append(sock)
            port = sock.getsockname()[1]
        if refusal is not None and not sockets:
            raise refusal
        opened.pop_all()
    return sockets


def _listen_unix(endpoint: Endpoint) -> Listener:
    address = os.fsencode(endpoint.path)
    if len(address) > _MOST_PATH_BYTES:
        excess = f"the path has {len(address)} bytes; a Unix socket's has at most {_MOST_PATH_BYTES}"
        raise ListenError(str(endpoint), excess)
    if endpoint.path.startswith("@"):
        return Listener(endpoint, [_bind(socket.AF_UNIX, b"\0" + address[1:])])
    path = Path(endpoint.path)
    with contextlib.suppress(FileNotFoundError):
        what = "socket" if stat.S_ISSOCK(path.lstat().st_mode) else "file"
        raise ListenError(str(endpoint), f"there is a {what} at that path already")
    return Listener(endpoint, [_bind(socket.AF_UNIX, address)], (path, path.lstat()))


def _bind(family: int, address: bytes | tuple[object, ...]) -> socket.socket:
    """Return a non-blocking socket that listens on `address`."""
    with contextlib.ExitStack() as opened:
        sock = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # What is accepted inherits it. Each send is an answer: Nagle's algorithm would hold the
            # second of two back until the client acknowledges the first, 40 ms later.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)  # noqa: FBT003 - the socket module's signature
        opened.pop_all()
    return sock
