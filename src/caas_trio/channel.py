"""What a driver gives the server for each connection: a `Channel`."""

from __future__ import annotations

import abc

from .session import Session


class Channel(abc.ABC):
    """One connection, as the server sees it. Who made it closes it; `aclose` may be called twice."""

    __slots__ = ()

    @abc.abstractmethod
    async def converse(self, session: Session) -> None:
        """Run a conversation until the session is closing, or the drain has taken what was received.

        While replies are being sent nothing is read, so a client that does not read its replies is
        not read from either. The connection stays open; `part` is what usually follows.

        Raises:
            ConnectionLost: the client reset the connection.
            TooSlow: the client let a timeout pass.
            Exception: whatever the session raises.
        """

    @abc.abstractmethod
    async def part(self) -> None:
        """End the output and let the client go: read on, throwing away, until it ends its own.

        A close with unread input would make the kernel send a reset, which can destroy replies that
        the client has not read yet. Returns after `linger_timeout` seconds at the latest.

        Raises:
            ConnectionLost: the client reset the connection.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the connection at once, whatever is unread or unsent."""
