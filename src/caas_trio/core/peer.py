"""The other side of a connection: `InternetPeer` or `LocalPeer`."""

from __future__ import annotations

import ipaddress
import socket
import struct
from dataclasses import dataclass
from typing import TypeAlias


def unmapped(host: str) -> str:
    """Return the IPv4 address that an IPv4-mapped IPv6 one stands for; any other host as it is.

    A socket that serves both families has its IPv4 clients as `::ffff:192.0.2.7` (RFC 4291, section
    2.5.5.2). Every rule about addresses is meant for the client, however the socket writes it.
    """
    if "ffff:" not in host.lower():
        return host
    try:
        mapped = ipaddress.IPv6Address(host).ipv4_mapped
    except ValueError:
        return host
    return host if mapped is None else str(mapped)


@dataclass(frozen=True, slots=True)
class InternetPeer:
    """The other side of a TCP connection, or the sender of a UDP datagram.

    Attributes:
        host: its IP address; an IPv4 client of an IPv6 socket has its IPv4 one (see `unmapped`). Empty
            if it is not known: the client was gone before the server asked.
        port: its port.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        """Replace an IPv4-mapped address."""
        if ":" in self.host:
            object.__setattr__(self, "host", unmapped(self.host))

    def __str__(self) -> str:
        if not self.host:
            return "an unknown address"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class LocalPeer:
    """The process on the other side of a Unix socket, as it was when it connected.

    Attributes:
        pid: its process id.
        uid: its effective user id.
        gid: its effective group id. Each is -1 where the kernel does not tell.
    """

    pid: int = -1
    uid: int = -1
    gid: int = -1

    def __str__(self) -> str:
        return f"pid {self.pid} uid {self.uid}"


Peer: TypeAlias = InternetPeer | LocalPeer

#: struct ucred of unix(7).
_CREDENTIALS = struct.Struct("3i")


def peer_of(sock: socket.socket, address: object) -> Peer:
    """Return the peer of an accepted socket, given the address that `accept` returned."""
    if isinstance(address, tuple):
        return InternetPeer(address[0], address[1])
    return credentials(sock)


def peer_behind(sock: socket.socket) -> Peer:
    """Return the peer of a connected socket; one that has reset the connection is unknown by now."""
    if sock.family is socket.AF_UNIX:
        return credentials(sock)
    try:
        return peer_of(sock, sock.getpeername())
    except OSError:
        return InternetPeer("", 0)


def credentials(sock: socket.socket) -> LocalPeer:
    """Return the process on the other side of a Unix socket; for a client, the one that listens."""
    try:
        data = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    except (AttributeError, OSError):  # not Linux, or closed already
        return LocalPeer()
    return LocalPeer(*_CREDENTIALS.unpack(data))
