"""The handshake of a simulated TCP connection, with lost SYNs and full accept queues: `Handshake`."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from .links import RETRY_S
from .world import Node

if TYPE_CHECKING:
    from .connecting import ConnectingSocket

#: tcp(7), tcp_syn_retries: how often a SYN is repeated, after 1, 2, 4, ... seconds.
_SYN_RETRIES: Final = 6


class Handshake:
    """The handshake of a client's socket with whatever listens at its remote address.

    Args:
        client: the socket; its `established` or `failed` is called.
        target: the host that has the address.
    """

    def __init__(self, client: ConnectingSocket, target: Node) -> None:
        self._client = client
        self._target = target
        world = client.node.world
        self._kernel = world.kernel
        self._there = world.link(client.node.name, target.name)
        self._back = world.link(target.name, client.node.name)
        self._attempts = 0
        self._listener: ConnectingSocket | None = None

    def begin(self) -> None:
        """Send a SYN, and repeat it until there is an answer."""
        if not self._client.connecting:
            return
        if self._attempts > _SYN_RETRIES:
            self._client.failed(errno.ETIMEDOUT)
            return
        self._kernel.after(RETRY_S * 2**self._attempts, self.begin)
        self._attempts += 1
        if self._there.is_open:
            self._kernel.after(self._there.delay(0), self._arrived)

    def _arrived(self) -> None:
        """Answer a SYN: from a queue that is full, nothing comes."""
        client = self._client
        if not client.connecting or self._listener is not None or not self._back.is_open:
            return
        found = self._target.find(client.type, client.remote[0], client.remote[1])
        if found is None:
            self._kernel.after(self._back.delay(0), lambda: client.failed(errno.ECONNREFUSED))
        elif found.has_room:
            self._listener = found
            found.arriving += 1
            self._kernel.after(self._back.delay(0), self._established)

    def _established(self) -> None:
        """Note that the SYN-ACK has arrived; the client's ACK takes as long as its data."""
        listener, client = self._listener, self._client
        assert listener is not None  # noqa: S101 - it has answered
        if not client.connecting:
            listener.arriving -= 1
            return
        accepted = listener.meet(client)
        seconds = self._there.delay(0)
        self._kernel.after(seconds, lambda: listener.enqueue(accepted))
        client.send_later(seconds)  # each segment acknowledges, too: none arrives at no connection
        client.established(accepted)
