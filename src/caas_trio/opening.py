"""From an accepted socket to a `Channel`: `Opening`.

Most sockets are a channel at once. Some have to show something first: `prove` is for them, and runs
in the connection's own task, so that nobody else waits for a slow one.
"""

from __future__ import annotations

import os
import select
import socket
from typing import NamedTuple

import trio

from .channel import Channel
from .drain import Drain
from .endpoint import Endpoint, Scheme
from .hub import Hub, HubChannel
from .limits import Limits
from .peer import Peer
from .stream import StreamChannel
from .trust import Trust


class Proven(NamedTuple):
    """A connection that has shown what it had to."""

    channel: Channel
    peer: Peer


class Opening:
    """Makes channels for a server; who made it closes it."""

    def __init__(self, limits: Limits, trust: Trust, drain: Drain) -> None:
        self.hub = Hub(limits, drain) if hub_wanted() else None
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
            return HubChannel(accepted, self.hub)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(accepted))
        return StreamChannel(stream, self._limits, self._drain)

    def asks(self, endpoint: Endpoint) -> bool:
        """Return whether what connects to this endpoint has to show something first: `prove` then."""
        return endpoint.scheme is Scheme.TLS

    async def prove(self, accepted: socket.socket, peer: Peer, endpoint: Endpoint) -> Proven:  # noqa: ARG002 - to come
        """Return the channel and the peer of a socket, once it has shown what it has to.

        The socket is closed if it does not.

        Raises:
            PeerError: it did not, within `limits.opening_timeout`; its text is the reason.
        """
        return Proven(self.plain(accepted), peer)


def hub_wanted() -> bool:
    """Return whether the fast driver runs the connections: where there is epoll, unless forbidden."""
    return hasattr(select, "epoll") and os.environ.get("CAAS_TRIO_DRIVER", "hub") != "stream"
