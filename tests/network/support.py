"""Simulated hosts without trio: the test advances the clock."""

from __future__ import annotations

import socket
from typing import Any

from caas_trio.testing.files import Descriptors
from caas_trio.testing.kernel import Kernel
from caas_trio.testing.links import Conditions, Link
from caas_trio.testing.streams import StreamSocket
from caas_trio.testing.world import Node, World

__all__ = ["Descriptors"]


class Lab:
    """Two hosts, `server` and `client`, and the time.

    Attributes:
        now: the time, in seconds.
    """

    def __init__(self, conditions: Conditions = Conditions(), seed: int = 0) -> None:  # noqa: B008 - immutable
        self.now = 0.0
        self.kernel = Kernel(seed, lambda: self.now)
        self.world = World(self.kernel, conditions)
        self.server, self.client = self.world.add("server", 100), self.world.add("client", 100)

    @property
    def there(self) -> Link:
        """The way from the client to the server."""
        return self.world.link("client", "server")

    @property
    def back(self) -> Link:
        """The way from the server to the client."""
        return self.world.link("server", "client")

    def wait(self, seconds: float = 0.0) -> None:
        """Advance time, and run what is due by then, in order."""
        until = self.now + seconds
        while self.kernel.next_due <= until:
            self.now = max(self.now, self.kernel.next_due)
            self.kernel.run_due()
        self.now = until

    def listening(self, backlog: int = 5, host: str = "0.0.0.0") -> StreamSocket:  # noqa: S104 - simulated
        """Return a socket of the server that listens at port 7."""
        sock = StreamSocket(self.server, socket.AF_INET)
        sock.bind((host, 7))
        sock.listen(backlog)
        return sock

    def connecting(self, node: Node | None = None) -> StreamSocket:
        """Return a socket of the client that has begun to connect to it."""
        sock = StreamSocket(node or self.client, socket.AF_INET)
        sock.connect_ex((self.server.addresses[0], 7))
        return sock

    def pair(self, seconds: float = 0.0) -> tuple[StreamSocket, StreamSocket]:
        """Return a connected client, and the server's socket for it."""
        with self.listening() as listening:
            client = self.connecting()
            self.wait(seconds)
            return client, listening.accept()[0]


def received(sock: Any, size: int = 100_000) -> bytes:
    """Return what can be read at once."""
    try:
        return bytes(sock.recv(size))
    except BlockingIOError:
        return b""


def error_of(sock: Any) -> int:
    """Return the error that waits."""
    return int(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
