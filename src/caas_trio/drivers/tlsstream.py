"""TLS over any stream: `TlsStream`, in which each direction ends by itself.

`trio.SSLStream` knows no half-close (trio issue 823): it cannot say its last and go on reading, and
what a client sends while that is being said breaks it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

import trio

from caas_trio.core.errors import HandshakeFailed
from caas_trio.core.handshakegate import HandshakeGate
from caas_trio.core.tls import session_context

#: The max_bytes that one record holds, RFC 8446 section 5.1. So much is encrypted, and sent, at a time.
_RECORD: Final = 16384
#: OpenSSL's buffers keep the largest size they have had: this is what an idle connection may hold.
_READ_SIZE: Final = 2 * _RECORD

#: What reads may leave to be said: answers to key updates and the like, sent with what is sent next.
_MAX_UNSAID: Final = 65536


class TlsStream(trio.abc.HalfCloseableStream):
    """TLS over a stream, which it owns.

    `send_eof` sends close_notify, ends the transport's output and leaves the input open. The other
    side's close_notify is the end of the input, b"", and leaves the output open. An input that ends
    without one may have been cut off by anybody: that is a broken stream.

    Nothing may be sent or received before `do_handshake` has returned. One task may send while
    another one receives.

    Args:
        transport: what carries the records.
        context: certificates and options.
        server_side: which side this is.
        server_hostname: for the client's side, whom it expects.
    """

    def __init__(
        self,
        transport: trio.abc.HalfCloseableStream,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        self.transport = transport
        self._context = context
        self._server_side = server_side
        self._server_hostname = server_hostname
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._gate = HandshakeGate() if server_side else HandshakeGate.open()
        self._unread = b""
        self._output_ended = True  # until TLS begins

    def begin(self, *, keeps_session: bool = True) -> None:
        """Create OpenSSL's object, which takes most of the memory; `do_handshake` does so in time.

        Args:
            keeps_session: whether the context may keep the session, to be resumed by the client.
        """
        context = self._context if keeps_session else session_context(self._context)
        self.tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=self._server_side,
            server_hostname=self._server_hostname,
        )
        self.tls.context = self._context
        self._output_ended = False

    async def do_handshake(self) -> None:
        """Agree on keys, and check certificates as the context says. Cancelled, the stream is of no use.

        If that fails, the other side gets the alert that it is owed, if it speaks TLS at all; who
        does not is told nothing.

        Raises:
            trio.BrokenResourceError: it failed; an `ssl.SSLError` or a `HandshakeFailed` that is the
                cause tells why. Without one the other side has ended or reset the connection.
        """
        with _translated():
            if self._output_ended:
                hello = await self._receive_messages(b"") if self._server_side else b""
                self.begin(keeps_session=self._gate.offers_ticket)
                self._incoming.write(hello)
            while True:
                try:
                    self.tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    answer = self._outgoing.read()
                    await self.transport.send_all(answer)
                    self._incoming.write(await self._receive_messages(answer))
                except ssl.SSLError:
                    if self._gate.speaks_tls:
                        await self._flush()
                    raise
        # The last that a server has to say in TLS 1.3 are session tickets, which are not urgent. A
        # client that sends a line and leaves would answer them with a reset, and the line be lost
        # (trio issue 819).
        if not self._server_side or self.tls.version() != "TLSv1.3":
            await self._flush()

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`. Cancelled, it may have sent a part, and nothing more can be sent.

        Raises:
            trio.BrokenResourceError: the other side is gone.
            trio.ClosedResourceError: the output has been ended.
        """
        if self._output_ended:
            raise trio.ClosedResourceError("the output has been ended")
        rest = memoryview(data)
        if not rest:
            await trio.lowlevel.checkpoint()
        with _translated():
            while rest:
                rest = rest[self.tls.write(rest[:_RECORD]) :]
                await self._flush()

    async def wait_send_all_might_not_block(self) -> None:
        """Return when the transport may accept more."""
        await self.transport.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send close_notify and end the transport's output. May be called again.

        A stream that is broken ends with the alert that says so instead.

        Raises:
            trio.BrokenResourceError: the other side is gone.
        """
        if not self._output_ended:
            self._output_ended = True
            with suppress(OSError):  # want-read, as a rule: it looks for the other side's close_notify
                # It must find nothing else: input that was not asked for yet would be an error.
                self._unread = self._decrypt(2 * _READ_SIZE) or b""
                self.tls.unwrap()
            await self._flush()
        await self.transport.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what is there, b"" at the end of the input. Cancelled, it has taken nothing.

        Raises:
            trio.BrokenResourceError: the connection was reset, cut off or tampered with.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        max_bytes = _READ_SIZE if max_bytes is None else max_bytes
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes}; it must be 1 or more")
        waited = False
        with _translated():
            while (data := self._held(max_bytes)) is None:
                await self._fill()
                waited = True
        if not waited:
            await trio.lowlevel.cancel_shielded_checkpoint()
        return data

    async def aclose(self) -> None:
        """Close the transport, after close_notify unless cancelled."""
        try:
            with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
                await self.send_eof()
        finally:
            await self.transport.aclose()

    def _held(self, max_bytes: int) -> bytes | None:
        """Return what can be read without the transport, b"" at the end of the input; None if nothing can."""
        if not self._unread:
            return self._decrypt(max_bytes)
        data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
        return data

    def _decrypt(self, max_bytes: int) -> bytes | None:
        parts: list[bytes] = []
        try:
            while max_bytes > 0 and (part := self.tls.read(min(max_bytes, _RECORD))):
                parts.append(part)
                max_bytes -= len(part)
        except ssl.SSLWantReadError:
            return b"".join(parts) or None
        except ssl.SSLZeroReturnError:  # the end, once the output has ended too
            pass
        except OSError:
            if not parts:
                raise
        return b"".join(parts)

    async def _receive_messages(self, answer: bytes) -> bytes:
        """Receive until the next messages of a handshake are whole, and return them."""
        passed = self._gate.answered(answer)
        while not passed:
            passed = self._gate.feed(await self._receive(self._gate.wanted(_READ_SIZE)))
        return passed

    async def _fill(self) -> None:
        """Receive more."""
        if self._outgoing.pending > _MAX_UNSAID:
            raise trio.BrokenResourceError("the other side asks for answers and does not let them out")
        self._incoming.write(await self._receive(_READ_SIZE))

    async def _receive(self, max_bytes: int) -> bytes:
        data = await self.transport.receive_some(max_bytes)
        if not data:
            raise trio.BrokenResourceError("the input ended without close_notify")
        return bytes(data)

    async def _flush(self) -> None:
        """Send what is encrypted. Cut short, it leaves a gap that the other side cannot overlook."""
        if data := self._outgoing.read():
            await self.transport.send_all(data)


@contextmanager
def _translated() -> Iterator[None]:
    """Raise what a stream raises, for what OpenSSL objects to.

    Asked again after a failure, it may give no reason. Python, from 3.13 on, then raises what errno
    still names, although OpenSSL has done no input or output here.
    """
    try:
        yield
    except (OSError, HandshakeFailed) as error:
        raise trio.BrokenResourceError from error
