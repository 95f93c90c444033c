"""Which peers may connect, and what they must present first: `Trust`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

from .endpoint import DATAGRAMS, Endpoint, Scheme
from .errors import EndpointError, LimitError
from .peer import InternetPeer, LocalPeer, Peer, unmapped
from .tls import Certificates

#: The permission bits that decide which users may connect; those for set-user-id and the like have no
#: meaning.
_MAX_MODE: Final = 0o777

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_IN_PLAIN: Final = (Scheme.TCP, Scheme.UDP)

LOOPBACK: Final = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Which peers may connect. By default all may: choose an endpoint that strangers do not reach.

    Attributes:
        allow_from: the networks that internet peers may come from; empty for all. Behind a proxy that
            passes the client's address on, that one counts.
        allow_uids: the user ids that the processes behind Unix sockets may have; empty for all.
        proxy_protocol: whether every connection begins with a PROXY header (see `ProxyHeader`),
            which is read before anything else. Never guessed: without one a connection is refused.
        proxy_on: the endpoints, as they are given to `serve`, where connections begin with one.
        proxy_from: the networks that proxies come from; any other peer that connects where a header
            is expected is refused. For a proxy behind a Unix socket, `allow_uids` and the socket's
            permissions decide.
        unix_mode: the permissions of a Unix socket's file, whatever the umask: users that may write to
            it may connect.
        tls: what tls endpoints are served with, `Certificates` or a context of your own; they need it. It
            is also what `Connection.start_tls` shows.

    Raises:
        LimitError: the mode is not a set of permissions, or a network is one of IPv4-mapped addresses:
            no peer has such an address (see `InternetPeer`).
    """

    allow_from: tuple[Network, ...] = ()
    allow_uids: frozenset[int] = frozenset()
    proxy_protocol: bool = False
    proxy_on: frozenset[Endpoint] = frozenset()
    proxy_from: tuple[Network, ...] = LOOPBACK
    unix_mode: int = 0o660
    tls: Certificates | ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        """Refuse values that are not a mode, and networks that no peer is in."""
        if not 0 <= self.unix_mode <= _MAX_MODE:
            raise LimitError("unix_mode", self.unix_mode, "0 to 0o777")
        for name, networks in (("allow_from", self.allow_from), ("proxy_from", self.proxy_from)):
            for network in networks:
                if unmapped(str(network.network_address)) != str(network.network_address):
                    raise LimitError(name, network, "networks of IPv4 addresses, written as such")

    def bound(self, endpoints: Collection[tuple[Endpoint, Endpoint]]) -> Trust:
        """Return the same for endpoints as they were bound, with real ports.

        Args:
            endpoints: each as it was asked for, and as it was bound.

        Raises:
            EndpointError: `proxy_on` contains one that was not asked for.
        """
        for endpoint in self.proxy_on.difference(asked for asked, _ in endpoints):
            raise EndpointError(str(endpoint), "a PROXY header is expected there, but it is not served")
        return replace(self, proxy_on=frozenset(got for asked, got in endpoints if asked in self.proxy_on))

    def exposes(self, endpoint: Endpoint) -> bool:
        """Return whether any client of any network may use this endpoint, without TLS.

        A host name other than localhost is taken for an address that others reach.
        """
        limited = self.allow_from or self.expects_header(endpoint)
        return endpoint.scheme in _IN_PLAIN and not limited and not _is_loopback(endpoint.host)

    def expects_header(self, endpoint: Endpoint) -> bool:
        """Return whether connections to this endpoint begin with a PROXY header."""
        if not self.proxy_protocol and not self.proxy_on:
            return False  # as for most, and that is asked for each connection
        expected = self.proxy_protocol or endpoint in self.proxy_on
        return expected and endpoint.scheme not in DATAGRAMS

    def objection_to_proxy(self, peer: Peer) -> str | None:
        """Return why this peer may not speak for others; None if it may."""
        match peer:
            case InternetPeer() if not _within(peer.host, self.proxy_from):
                return "the address is no proxy's"
            case LocalPeer():
                return self.objection(peer)
        return None

    def objection(self, peer: Peer) -> str | None:
        """Return why this peer may not connect; None if it may."""
        match peer:
            case InternetPeer() if self.allow_from and not _within(peer.host, self.allow_from):
                return "the address is not allowed"
            case LocalPeer() if self.allow_uids and peer.uid not in self.allow_uids:
                return "the user is not allowed"
        return None

    @property
    def asks(self) -> bool:
        """Whether any endpoint has a rule about its peers."""
        return bool(self.allow_from or self.allow_uids or self.proxy_protocol or self.proxy_on)

    def asks_for(self, address: object) -> bool:
        """Return whether a peer of this kind of address (what `accept` returns) may be objected to."""
        return bool(self.allow_from if isinstance(address, tuple) else self.allow_uids)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.rstrip(".").lower() == "localhost"


def _within(host: str, networks: Iterable[Network]) -> bool:
    """Return whether an address is in one of `networks`; an unknown one is in none."""
    if not host:
        return False
    address = ipaddress.ip_address(host)
    return any(address in network for network in networks)
