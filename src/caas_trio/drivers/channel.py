"""A connection, as every driver offers it: `Channel`."""

from __future__ import annotations

import abc
import ssl
from collections.abc import Awaitable, Mapping
from typing import Any

import trio

from caas_trio.core.buffering import Chunk
from caas_trio.core.errors import StateError
from caas_trio.core.limits import Limits
from caas_trio.core.session import Session


class Channel(abc.ABC):
    """One connection, as the server sees it. The caller that made it closes it; `aclose` may be called twice.

    One task may send while another one receives. `docs/drivers.md` says which calls are checkpoints.

    Attributes:
        received: how many bytes have been read.
        sent: how many the kernel, or the stream, has taken.
        certificate: what `ssl.SSLSocket.getpeercert` gives; None if the client was not asked for one.
    """

    __slots__ = ()

    received: int
    sent: int
    certificate: Mapping[str, Any] | None = None

    @property
    def needs_no_linger(self) -> bool:
        """Whether `close_gracefully` has nothing left to do."""
        return False

    @abc.abstractmethod
    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of `data`. Cancelled or failed, it may have sent a part.

        Raises:
            ConnectionLost: the client reset the connection, or the channel is closed.
            TooSlow: the client did not accept it within `write_timeout`.
        """

    def send_nowait(self, data: bytes | memoryview) -> bytes | memoryview:
        """Send what can be sent without waiting; return the rest, which is to be given to `send_all`.

        Raises:
            ConnectionLost: the client reset the connection.
        """
        return data

    def try_buffer(self, data: Chunk) -> bool:  # noqa: ARG002 - a driver without a buffer takes nothing
        """Take `data`, to be sent with what follows it, and soon; return whether it was taken.

        What was taken is sent before anything else this channel is asked for, and in any case when
        the tasks that are about to run have run.
        """
        return False

    async def flush(self) -> None:  # noqa: B027 - a driver without a buffer has nothing to do
        """Return once the kernel, or the stream, has all that `try_buffer` has taken.

        Raises:
            ConnectionLost: the client reset the connection.
            TooSlow: the client did not accept it within `write_timeout`.
        """

    @abc.abstractmethod
    async def send_eof(self) -> None:
        """End the output. May be called again.

        Raises:
            ConnectionLost: the client reset the connection.
            TooSlow: the client did not accept what was buffered within `write_timeout`.
        """

    @abc.abstractmethod
    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Perform a TLS handshake; all that is received and sent from then on goes over TLS.

        What was buffered is sent before. The caller bounds the time, sees that nothing else is under way,
        and that nothing of what has been read is still to be served. Cancelled or failed, nothing but the
        end of the output is allowed any more.

        Args:
            context: certificates and options.
            server_side: which side this is.
            server_hostname: on the client's side, the name that it expects in the certificate.

        Raises:
            HandshakeFailed: the handshake failed; the other side has been sent its alert.
            ConnectionLost: the other side left, or reset the connection.
            TooSlow: it did not accept what was buffered within `write_timeout`.
            StateError: the connection is over TLS already.
        """

    @abc.abstractmethod
    def converse(self, session: Session) -> Awaitable[None]:
        """Run a conversation until the session is closing, or the drain has taken what was received.

        The driver's `FirstTurn` may have opened it, and served it for a while.

        While replies are being sent nothing is read, so a client that does not read its replies is
        not read from either. The connection stays open; `close_gracefully` is what usually follows.

        Raises:
            ConnectionLost: the client reset the connection.
            TooSlow: the client let a timeout pass.
            Exception: whatever the session raises.
        """

    @abc.abstractmethod
    def resume(self, session: Session) -> Awaitable[None]:
        """Run a conversation that has been opened, as `converse` does.

        Returns too, with the session not closing, after `interrupt`.
        """

    @abc.abstractmethod
    def interrupt(self) -> None:
        """End the `resume` that is under way, if one is. The connection stays open."""

    @abc.abstractmethod
    def set_limits(self, limits: Limits) -> None:
        """Keep these timeouts from now on; a read or a send that is under way may keep its own."""

    def detach(self) -> trio.abc.Stream:
        """Return the stream below, which the channel no longer owns.

        Raises:
            StateError: there is none.
        """
        raise StateError("detach", "not over a stream")

    @abc.abstractmethod
    async def close_gracefully(self) -> None:
        """End the output and linger: read and discard until the client ends its own.

        A close with unread input would make the kernel send a reset, which can destroy replies that
        the client has not read yet. Returns after `linger_timeout` seconds at the latest.

        Raises:
            ConnectionLost: the client reset the connection.
            TooSlow: the client did not accept what was buffered within `write_timeout`.
        """

    @abc.abstractmethod
    async def aclose(self) -> None:
        """Close the connection at once, whatever is unread or unsent.

        Calls that are under way in other tasks raise `ConnectionLost`.
        """
