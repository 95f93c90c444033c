"""The portable driver: runs a session over any `trio.abc.Stream`."""

from __future__ import annotations

import math
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import trio

from caas_trio.core.errors import ConnectionLost, HandshakeFailed, StateError, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.session import Session
from caas_trio.core.telemetry import ServerStats
from caas_trio.core.tls import openssl_words

from .channel import Channel
from .drain import Drain
from .driver import Driver, FirstTurn
from .machine import MACHINE, Machine
from .tlssocket import acknowledge
from .tlsstream import TlsStream

READ_SIZE: Final = 65536

C = TypeVar("C")


class StreamDriver(Driver):
    """Makes channels over trio's streams; each connection's own task moves its bytes."""

    def __init__(
        self, limits: Limits, drain: Drain, stats: ServerStats | None = None, machine: Machine = MACHINE
    ) -> None:
        self._limits = limits
        self._drain = drain
        self._stats = stats
        self._machine = machine

    def channel(self, sock: socket.socket) -> Channel:
        """Return the channel over a socket; see `Driver.channel`."""
        stream = self._machine.stream(sock)
        return StreamChannel(stream, self._limits, self._drain, stats=self._stats)

    def first_turn(self) -> FirstTurn[C]:
        """Return a `FirstTurn` that gives every connection a task; see `Driver.first_turn`."""
        return FirstTurn()

    async def run(self) -> None:
        """Return at once; see `Driver.run`."""

    def close(self) -> None:
        """Do nothing; see `Driver.close`."""


class StreamChannel(Channel):
    """A connection over a stream, which it owns."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        limits: Limits,
        drain: Drain,
        stats: ServerStats | None = None,
    ) -> None:
        self.certificate: Mapping[str, Any] | None = None
        self._stream = stream
        self._limits = limits
        self._drain = drain
        self._stats = stats or ServerStats()
        self._wait: trio.CancelScope | None = None  # of the read that is under way
        self._detached = False
        self._interrupted = False
        self._sent_at = -math.inf
        self.received = 0
        self.sent = 0

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of `data`; see `Channel.send_all`."""
        with trio.move_on_after(self._limits.write_timeout), _translated():
            await self._stream.send_all(data)
            self.sent += len(data)
            self._stats.sent += len(data)
            self._sent_at = trio.current_time()
            return
        raise TooSlow("write_timeout")

    async def send_eof(self) -> None:
        """End the output; see `Channel.send_eof`. A stream that cannot half-close ends with `aclose`."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with trio.move_on_after(self._limits.write_timeout), _translated():
                return await self._stream.send_eof()
            raise TooSlow("write_timeout")  # TLS has something to say at the end
        return None

    async def start_tls(
        self, context: ssl.SSLContext, *, server_side: bool, server_hostname: str | None = None
    ) -> None:
        """Perform a TLS handshake; see `Channel.start_tls`."""
        plain = self._stream
        if isinstance(plain, TlsStream):
            raise StateError("start_tls", "over TLS already")
        secure = TlsStream(plain, context, server_side=server_side, server_hostname=server_hostname)
        try:
            await secure.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            match error.__cause__:
                case HandshakeFailed() as refused:
                    raise HandshakeFailed(refused.reason) from error
                case ssl.SSLError() as refused:
                    raise HandshakeFailed(openssl_words(refused)) from error
            raise ConnectionLost from error
        if isinstance(plain, trio.SocketStream):
            acknowledge(plain.socket)
        self.certificate = secure.engine.certificate()
        self._stream = secure

    async def converse(self, session: Session) -> None:
        """Run a conversation; see `Channel.converse`."""
        greeting = session.open()
        if greeting:
            await self.send_all(greeting)
        await self.resume(session)

    async def resume(self, session: Session) -> None:
        """Go on with a conversation; see `Channel.resume`."""
        line, line_begun = session.unfinished, trio.current_time()
        heard_at = line_begun
        while not (session.closing or self._interrupted):
            if session.unfinished != line:
                line, line_begun = session.unfinished, trio.current_time()
            finishing, active_at = self._drain.begun, max(heard_at, self._sent_at)
            seconds, limit = min(self._waits(session, line_begun, active_at))
            with self._drain.waiting(seconds) as wait:
                self._wait = wait
                data = await self._receive(min(READ_SIZE, session.max_chunk))
            self._wait = None
            if not wait.cancelled_caught:
                heard_at = trio.current_time()
                await self._answer(session, data)
            elif finishing or self._interrupted:
                return
            elif limit == "prompt_delay" and not self._drain.begun:
                await self._answer(session, None)
            elif not (self._drain.begun or (limit == "idle_timeout" and self._sent_at > active_at)):
                raise TooSlow(limit)

    def interrupt(self) -> None:
        """Cancel the read that is under way; see `Channel.interrupt`."""
        self._interrupted = True  # it may have received a part of a line, and wait again
        if self._wait is not None:
            self._wait.cancel()

    def set_limits(self, limits: Limits) -> None:
        """Keep these timeouts; see `Channel.set_limits`."""
        self._limits = limits

    def detach(self) -> trio.abc.Stream:
        """Return the stream; see `Channel.detach`."""
        self._detached = True
        return self._stream

    async def close_gracefully(self) -> None:
        """End the output and linger; see `Channel.close_gracefully`.

        A stream that cannot half-close is closed, which may take as long: TLS has something to say.
        """
        await self.send_eof()
        with trio.move_on_after(self._limits.linger_timeout):
            if isinstance(self._stream, trio.abc.HalfCloseableStream):
                while await self._receive():
                    pass
            else:
                with _translated():
                    await self._stream.aclose()

    async def aclose(self) -> None:
        """Close the stream."""
        if not self._detached:
            await trio.aclose_forcefully(self._stream)

    async def _receive(self, max_bytes: int = READ_SIZE) -> bytes:
        """Return what one read gives, b"" at the end of the input, and count it."""
        with _translated():
            data = bytes(await self._stream.receive_some(max_bytes))
        self.received += len(data)
        self._stats.read(data)
        return data

    async def _answer(self, session: Session, data: bytes | None) -> None:
        """Send what the session says to `data`: b"" is the end of the input, None is silence."""
        begun = trio.current_time()
        if data is None:
            reply = session.silence()
        else:
            reply = session.receive(data) if data else session.end_of_input()
            self._stats.served(1, trio.current_time() - begun)
        if reply:
            await self.send_all(reply)

    def _waits(self, session: Session, line_begun: float, active_at: float) -> list[tuple[float, str]]:
        """Return how long the next read may take, by each of the limits that apply."""
        limits, now = self._limits, trio.current_time()
        waits = [(active_at + limits.idle_timeout - now, "idle_timeout")]
        if session.unfinished:
            waits.append((line_begun + limits.line_timeout - now, "line_timeout"))
        if session.awaits_silence:
            waits.append((limits.prompt_delay, "prompt_delay"))
        return waits


@contextmanager
def _translated() -> Iterator[None]:
    """Raise ConnectionLost for the errors of a stream that is broken or closed."""
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ConnectionLost from error
