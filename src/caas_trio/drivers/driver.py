"""The drivers, which move the bytes of a server's connections: `Driver`."""

from __future__ import annotations

import abc
import socket
from typing import Generic, TypeVar

from caas_trio.core.session import Session

from .channel import Channel

#: The server's object for a connection.
C = TypeVar("C")


class FirstTurn(Generic[C]):
    """Serves new connections before they get tasks of their own; this one gives each a task at once.

    Attributes:
        ended: connections whose conversation is over, and whose channel is closed.
        lost: connections that their clients have reset, and whose channel is closed.
        remaining: connections that need a task, each with the error that its conversation raised, or None.
    """

    def __init__(self) -> None:
        self.ended: list[C] = []
        self.lost: list[C] = []
        self.remaining: list[tuple[C, BaseException | None]] = []

    def add(self, connection: C, channel: Channel, session: Session) -> None:  # noqa: ARG002
        """Begin the conversation of a new connection."""
        self.remaining.append((connection, None))

    def poll(self, listening: socket.socket | None = None) -> bool:  # noqa: ARG002
        """Answer what the new connections have sent; return false if, for a while, that is nothing.

        Args:
            listening: where more of them may come in; return true at once if one does.
        """
        return False

    def poll_until_idle(self) -> None:
        """Poll until nothing more comes; how much is read from one connection is bounded."""

    def carry_over(self) -> None:
        """End a turn that another one follows at once: connections that came in this one may wait for that.

        Those that had waited already are moved to `remaining`.
        """

    def spawn_rest(self) -> None:
        """Move all connections that are left to `remaining`."""


class Driver(abc.ABC):
    """Moves the bytes of a server's connections. The server that made it closes it."""

    @abc.abstractmethod
    def channel(self, sock: socket.socket) -> Channel:
        """Return the channel over an accepted socket, which the channel owns from now on."""

    @abc.abstractmethod
    def first_turn(self) -> FirstTurn[C]:
        """Return a `FirstTurn` for the connections that an accept loop takes in one turn."""

    @abc.abstractmethod
    async def run(self) -> None:
        """Serve until cancelled. Run it in a task of its own, as long as there are channels."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close what the driver holds, once `run` has ended or will never run."""
