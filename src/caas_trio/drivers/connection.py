"""A connection, as a handler or a client uses it: `Connection`."""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Self

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import PeerError
from caas_trio.core.limits import Limits
from caas_trio.core.peer import LocalPeer, Peer
from caas_trio.core.terminator import Terminator

from .commands import Commands, receive_dot_stuffed
from .connectionbase import current_connection
from .drain import Drain
from .stream import StreamChannel
from .upgrading import UpgradingConnection

__all__ = ["Connection", "current_connection"]


class Connection(UpgradingConnection):
    """One client, or one server: lines, counted bytes and delimited ones, on one buffer.

    The kinds of reading may be mixed freely: what one leaves, the next one finds. Reading is
    cancel-safe: a cancelled read has taken nothing. No call is a checkpoint unless it waits, but a task
    that calls again and again gives way to others.

    Once the server drains, reads go on until what had been received is used up; then the input
    counts as ended, and a line that was only begun is not returned.

    The server closes the connection when the handler returns: a `send` that is under way in another
    task is finished, the output is ended in an orderly way, and every later call raises `StateError`,
    as a read that is under way does. A handler need not catch `PeerError`: what the peer did ends its
    connection, and is no failure of the handler. `PeerError.connection` is the connection whose peer it
    was.

    All reads raise `ConnectionLost` if the client has reset the connection, `TooSlow` if it let
    `idle_timeout` or `line_timeout` pass, and `StateError` if another task is reading or the
    connection is closed. `idle_timeout` applies while a task reads, and begins anew with each `send`.

    One that was made by `over`, or by `connect`, is closed by the caller that made it. As a context
    manager it ends the output and waits up to `linger_timeout` for the other side to end its own, then
    closes; if the block raises, it closes at once.

    Attributes:
        endpoint: where the connection came in.
        peer: the other side.
        certificate: the certificate it has shown, as `ssl.SSLSocket.getpeercert` gives it; None if
            it was not asked for one.
        failure: what the peer did when another connection's handler sent to it, or of what was posted;
            None so far.
    """

    @classmethod
    def over(
        cls,
        stream: trio.abc.Stream,
        *,
        limits: Limits | None = None,
        terminator: Terminator = Terminator.LF,
        endpoint: Endpoint | None = None,
        peer: Peer | None = None,
    ) -> Self:
        """Return a connection over any stream of trio's, which it owns: a process's pipes, memory, TLS.

        Args:
            stream: the stream.
            limits: what counts is `max_line`, `max_unsent`, and the idle, line, write and linger timeouts.
            terminator: what ends a line.
            endpoint: the value of `endpoint`; None if there is none.
            peer: the value of `peer`; by default, a local one with unknown ids.
        """
        limits = limits or Limits()
        drain = Drain()
        channel = StreamChannel(stream, limits, drain)
        connection = cls(channel, endpoint, peer or LocalPeer(), limits, drain)
        connection.terminator = terminator
        connection._standalone = True
        return connection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the connection.

        Raises:
            PeerError: the block has not raised, and what was posted could not be sent.
        """
        try:
            if error is None and not self._closed:
                await self.finish()
                with suppress(PeerError):
                    await self._channel.close_gracefully()
        finally:
            await self.aclose()
        if error is None and self.failure is not None:
            raise self.failure

    def detach(self) -> tuple[trio.abc.Stream, bytes]:
        """Return the stream, which is the caller's again, and what was read from it and not taken.

        The connection is closed for every later call, and the stream is not. The rest of a line that
        was too long is not in what is returned; it comes out of the stream, if it has not come yet.

        Raises:
            StateError: another task is reading or sending, the connection is closed, or it is not over
                a stream.
        """
        if self._receiving or self._sending or self._closed:
            raise self._misused("detach")
        stream = self._channel.detach()
        self._closed = True
        return stream, self._buffer.take_rest()

    def commands(
        self,
        *,
        too_long: bytes | None = None,
        max_too_long: int | None = None,
        max_commands: int | None = None,
    ) -> Commands:
        """Return an iterator over lines without their terminators: `async for command in ...`.

        It ends with the input, with the drain, and with `max_commands`. A last line without a terminator
        may have been cut off, and is not returned: it is in `Commands.tail`. Other reads may be made in
        between, and several iterators used in turn.

        Args:
            too_long: what is sent in answer to a line longer than `max_line`, before the iteration goes
                on behind it; None to raise `LineTooLong`.
            max_too_long: how many lines may be answered so; one more raises `LineTooLong`. None for no
                limit.
            max_commands: how many lines may be returned; None for no limit.
        """
        return Commands(self, too_long, max_too_long, max_commands)

    async def receive_dot_stuffed(self, limit: int) -> bytes:
        """Return the lines up to one that is a lone dot, which is taken too; leading dots are removed.

        That is a body as SMTP, POP3 and NNTP have it; declare `Terminator.CRLF` for those. Whatever is
        wrong with a body, all of it is read before that is raised, without being held, so that no part
        of it can pass for the next command. Cancelled, it may have taken some lines.

        Args:
            limit: the most bytes that the body may have, terminators included.

        Raises:
            CountRefused: it has more.
            LineTooLong, BareTerminator: of a line, as `receive_line` raises them; the first that came.
            InputEnded: the input ended before the lone dot.
        """
        return await receive_dot_stuffed(self, limit)

    # The rest is the server's.

    def begin(self) -> None:
        """Mark the current task, and those that it starts, as this connection's handler."""
        current_connection.set(self)
