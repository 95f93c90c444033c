"""The socket of a connection that the hub serves, and TLS over it: `HubTransport`."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final

import trio

from caas_trio.core.buffering import Chunk
from caas_trio.core.errors import ConnectionLost, StateError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.session import MAX_CHUNK
from caas_trio.core.tlsengine import TlsEngine

from .channel import Channel
from .poller import EPOLLIN, EPOLLOUT, Poller
from .tlssocket import TlsSocket, acknowledge

#: The size of a read; a session may want less.
READ_SIZE: Final = MAX_CHUNK

#: How many bytes a channel holds for sending them together.
MAX_HELD: Final = 65536

#: The time of an event that is not known yet, and of one that has not been.
JUST_NOW: Final = math.inf
NEVER: Final = -math.inf


class HubTransport(Channel):
    """Moves the bytes of a `HubChannel`; owns the socket.

    Attributes:
        sock: the socket, non-blocking; over TLS, a `TlsSocket`.
        tls: the same over TLS, else None.
        watched: the events that the hub's epoll reports; 0 if it is not registered there.
        write_buffer: what is still to be sent: what is buffered to be sent with what follows (a
            bytearray), or what the kernel did not take.
        sent_at: when the server last sent of its own accord.
        eof_received: whether the client has sent its last byte, and the session knows; or has reset the
            connection.
        limits: the timeouts.
    """

    __slots__ = (
        "_known_to_trio",
        "_poller",
        "eof_received",
        "limits",
        "sent_at",
        "sock",
        "tls",
        "watched",
        "write_buffer",
    )

    received = 0  # unless it is a `CountingHubChannel`
    sent = 0

    def __init__(self, sock: socket.socket, poller: Poller) -> None:
        self.sock: socket.socket | TlsSocket = sock
        self.tls: TlsSocket | None = None
        self.watched = 0
        self.write_buffer: bytes | bytearray | memoryview = b""
        self.eof_received = False
        self.limits = poller.limits
        self.sent_at = NEVER
        self._poller = poller
        self._known_to_trio = False  # whether trio's own epoll may have a task waiting for it

    @property
    def needs_no_linger(self) -> bool:
        """Whether nothing is unread or unsent, so that closing ends the output without a reset."""
        if self.write_buffer or not self.eof_received:
            return False
        return self.tls is None or self.tls.engine.output_ended

    @property
    def certificate(self) -> Mapping[str, Any] | None:  # type: ignore[override]
        """The client's certificate; see `Channel`."""
        return None if self.tls is None else self.tls.certificate

    @property
    def buffered(self) -> int:
        """How many bytes of input TLS holds, which the kernel does not report."""
        return 0 if self.tls is None else self.tls.engine.buffered

    @property
    def reading(self) -> int:
        """The events to watch for while the client is to be read from; any, if TLS holds input already."""
        if self.tls is None or self.tls.engine.drained or not self.buffered:
            return self._poller.listening
        return EPOLLIN | EPOLLOUT

    def recv_nowait(self, max_bytes: int = READ_SIZE) -> bytes | None:
        """Return what has been received, b"" at the end of the input; None if nothing has.

        Raises:
            ConnectionLost: the client reset the connection.
        """
        try:
            return self.try_recv(max_bytes)
        except OSError as error:
            raise ConnectionLost from error

    def try_recv(self, max_bytes: int) -> bytes | None:
        """Return what `recv_nowait` does.

        Raises:
            OSError: the client reset the connection.
        """
        try:
            data = self.sock.recv(max_bytes)
        except BlockingIOError:
            return None
        if data and self._poller.counted:
            self.count_read(data)
        return data

    @property
    def at_eof(self) -> bool:
        """Return whether nothing is left to read but the end of the input.

        Raises:
            ConnectionLost: the client reset the connection.
        """
        if isinstance(self.sock, TlsSocket):
            return False  # an end that counts is a record, which a read finds
        try:
            return not self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionLost from error

    def waiting(self) -> int:
        """Return how many bytes have been received and not been read; over TLS, rather more."""
        return self.buffered + self._poller.machine.waiting(self._raw)

    @property
    def _raw(self) -> socket.socket:
        return self.sock.raw if isinstance(self.sock, TlsSocket) else self.sock

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of `data`; see `Channel.send_all`."""
        rest = self.send_nowait(data)
        if not rest:
            return
        try:
            with trio.move_on_after(self.limits.write_timeout):
                while rest:
                    await self._until(self._poller.machine.wait_writable)
                    rest = self.send_nowait(rest)
                return
        finally:
            self.write_buffer = rest  # cancelled: the next send begins with it
        raise TooSlow("write_timeout")

    def send_nowait(self, data: bytes | memoryview) -> bytes | memoryview:
        """Send what the kernel takes, buffered data first; see `Channel.send_nowait`."""
        if self.write_buffer:
            data = b"".join((self.write_buffer, data))
            self.write_buffer = b""
        if not data:
            return b""
        try:
            sent = self.sock.send(data)
        except BlockingIOError:
            return data
        except OSError as error:
            raise ConnectionLost from error
        self.sent_at = JUST_NOW
        if self._poller.counted:
            self.count_sent(sent)
        return b"" if sent == len(data) else memoryview(data)[sent:]

    def try_buffer(self, data: Chunk) -> bool:
        """Take `data` to be sent with what follows it; see `Channel.try_buffer`."""
        held = self.write_buffer
        if len(held) + len(data) > MAX_HELD:
            return False
        if isinstance(held, bytearray):
            held += data
            return True
        if held:
            return False
        self.write_buffer = bytearray(data)
        self._poller.watch(self, self.watched | EPOLLOUT)  # so the hub sends it when it has its next turn
        return True

    async def flush(self) -> None:
        """Send what is buffered; see `Channel.flush`."""
        if self.write_buffer:
            await self.send_all(b"")

    async def send_eof(self) -> None:
        """End the output; see `Channel.send_eof`."""
        await self.flush()
        if self._try_send_eof():
            return
        with trio.move_on_after(self.limits.write_timeout):  # TLS has something to say at the end
            while not self._try_send_eof():
                await self._until(self._poller.machine.wait_writable)
            return
        raise TooSlow("write_timeout")

    def _try_send_eof(self) -> bool:
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            return False
        except OSError as error:
            raise ConnectionLost from error
        return True

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Perform a TLS handshake; see `Channel.start_tls`."""
        plain, machine = self.sock, self._poller.machine
        if isinstance(plain, TlsSocket):
            raise StateError("start_tls", "over TLS already")
        await self.flush()
        engine = TlsEngine(context, server_side=server_side, server_hostname=server_hostname)
        secure = TlsSocket(plain, engine)
        while events := secure.handshake_step():
            await self._until(machine.wait_readable if events == EPOLLIN else machine.wait_writable)
        acknowledge(plain)
        secure.certificate = engine.certificate()
        self.sock = self.tls = secure

    def set_limits(self, limits: Limits) -> None:
        """Keep these timeouts; see `Channel.set_limits`."""
        self.limits = limits
        self._poller.sweep_for(limits)

    async def close_gracefully(self) -> None:
        """End the output and linger; see `Channel.close_gracefully`."""
        await self.send_eof()
        data = self.recv_nowait()
        if data == b"":
            return  # the usual case, which needs no timeout
        with trio.move_on_after(self.limits.linger_timeout):
            while data != b"":
                if data is None:
                    await self._until(self._poller.machine.wait_readable)
                else:  # a client that sends without end must not keep the others waiting
                    await trio.lowlevel.checkpoint()
                data = self.recv_nowait()

    def close(self) -> None:
        """Close the socket, which no task waits for."""
        if self.write_buffer:
            with suppress(ConnectionLost):
                self.send_nowait(b"")
            self.write_buffer = b""
        if self.watched:
            self._poller.watch(self, 0)
        if self._known_to_trio:
            self._poller.machine.notify_closing(self._raw)
        self.sock.close()

    def count_read(self, data: bytes) -> None:
        """Count what was read."""
        if self._poller.stats is not None:
            self._poller.stats.read(data)

    def count_sent(self, sent: int) -> None:
        """Count bytes sent."""
        if self._poller.stats is not None:
            self._poller.stats.sent += sent

    async def _until(self, ready: Callable[[socket.socket], Awaitable[None]]) -> None:
        self._known_to_trio = True
        try:
            await ready(self._raw)
        except trio.ClosedResourceError as error:
            raise ConnectionLost from error
