"""Which datagrams are served and which replies are sent: the rules of `serve_datagrams`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, NamedTuple

from .peer import InternetPeer, LocalPeer, Peer

#: The most bytes of a datagram: more than UDP's 65527, and than Linux lets a process without
#: privileges send over a Unix socket by default (net.core.wmem_default, 212992).
MAX_BYTES: Final = 262144

#: Below it are the ports of the old services: echo, chargen, time, DNS, NTP and their like.
_FIRST_CLIENT_PORT: Final = 1024


class Drop(enum.StrEnum):
    """Why a datagram was not answered."""

    OVERSIZE = f"it is longer than {MAX_BYTES} bytes"
    BUSY = "too many datagrams are being handled"
    LONGER = "the reply is longer than the request"
    NO_ADDRESS = "its sender has no address"
    TO_MANY = "it was sent to a broadcast or multicast address"
    SERVER = "it came from a server's port"
    TOO_LONG = "the reply is too long for the socket"
    NO_ROOM = "there is no room for the reply"
    UNREACHABLE = "its sender cannot be reached"
    UNDELIVERED = "an earlier reply could not be delivered"


class Datagram(NamedTuple):
    """A datagram as it came.

    Attributes:
        data: its bytes, or the first `MAX_BYTES` of them.
        address: where its reply goes, in the form of the socket module; None for nowhere.
        whole: whether `data` is all of it.
        to_many: whether it was sent to a broadcast or multicast address.
        local: what makes the reply come from where the datagram went: control messages for `sendmsg`.
        process: the sender, on a Unix socket.
    """

    data: bytes
    address: object
    whole: bool = True
    to_many: bool = False
    local: tuple[tuple[int, int, bytes], ...] = ()
    process: LocalPeer = LocalPeer()

    @property
    def peer(self) -> Peer:
        """The sender."""
        match self.address:
            case (str(host), int(port), *_):
                return InternetPeer(host, port)
        return self.process


@dataclass(frozen=True)
class Rules:
    """The rules of one socket.

    Attributes:
        own: its own address.
        reply_to_servers: whether replies go to the ports of servers too.
    """

    own: object
    reply_to_servers: bool = False

    def ignored(self, datagram: Datagram) -> Drop | None:
        """Return why the service does not get to see a datagram; None if it does."""
        return None if datagram.whole else Drop.OVERSIZE

    def withheld(self, datagram: Datagram, reply: bytes) -> Drop | None:
        """Return why a reply is not sent; None if it is.

        The address of a datagram may be forged, so a reply may hit a victim that never asked. It has
        at most as many bytes as the request (RFC 8085, section 6), and other servers get none: two
        servers that answer each other never end (CERT CA-1996-01, CVE-2024-2169). A sender counts as a
        server if its port is below 1024, as for OpenBSD's inetd, or has the number of our own.
        """
        if len(reply) > len(datagram.data):
            return Drop.LONGER
        if datagram.to_many:
            return Drop.TO_MANY
        match datagram.address:
            case None | "" | b"" | (_, 0, *_):  # RFC 768: port 0 means that no reply is wanted
                return Drop.NO_ADDRESS
            case address if not self.reply_to_servers and self._is_server(address):
                return Drop.SERVER
        return None

    def _is_server(self, address: object) -> bool:
        match address, self.own:
            case (_, int(port), *_), (_, own_port, *_):
                return port < _FIRST_CLIENT_PORT or port == own_port
        return address == self.own
