"""Who may connect, and what they have to show first: `Trust`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from .errors import LimitError
from .peer import InternetPeer, LocalPeer, Peer

#: The permission bits that say who may connect; those for set-user-id and the like say nothing.
_MOST_MODE: Final = 0o777

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, kw_only=True)
class Trust:
    """Who may connect. By default everybody may: keep strangers away by where you listen.

    Attributes:
        allow_from: the networks that internet peers may come from; empty for all.
        allow_uids: the user ids that the processes behind Unix sockets may have; empty for all.
        unix_mode: the permissions of a Unix socket's file, whatever the umask: who may write to it
            may connect.

    Raises:
        LimitError: the mode is no set of permissions.
    """

    allow_from: tuple[Network, ...] = ()
    allow_uids: frozenset[int] = frozenset()
    unix_mode: int = 0o660

    def __post_init__(self) -> None:
        """Refuse what is no mode."""
        if not 0 <= self.unix_mode <= _MOST_MODE:
            raise LimitError("unix_mode", self.unix_mode, "0 to 0o777")

    def objection(self, peer: Peer) -> str | None:
        """Return why this peer may not connect; None if it may."""
        match peer:
            case InternetPeer() if self.allow_from and not _within(peer.host, self.allow_from):
                return "the address is not allowed"
            case LocalPeer() if self.allow_uids and peer.uid not in self.allow_uids:
                return "the user is not allowed"
        return None

    def asks_for(self, address: object) -> bool:
        """Return whether a peer of this kind of address (what `accept` returns) may be objected to."""
        return bool(self.allow_from if isinstance(address, tuple) else self.allow_uids)


def _within(host: str, networks: Iterable[Network]) -> bool:
    address = ipaddress.ip_address(host)
    return any(address in network for network in networks)
