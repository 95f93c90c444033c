"""TLS over any stream: `TlsStream`, in which each direction ends by itself.

`trio.SSLStream` has no half-close (trio issue 823): it cannot end its output and go on reading, and what
a client sends meanwhile breaks it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import trio

from caas_trio.core.errors import HandshakeFailed
from caas_trio.core.tlsengine import READ_SIZE, RECORD, TlsEngine


class TlsStream(trio.abc.HalfCloseableStream):
    """TLS over a stream, which it owns.

    `send_eof` sends close_notify, ends the transport's output, if it can end by itself, and leaves the
    input open. The other side's close_notify is the end of the input, b"", and leaves the output open. An
    input that ends without one may have been cut off by an attacker: that is a broken stream.

    Nothing may be sent or received before `do_handshake` has returned. One task may send while
    another one receives.

    Args:
        transport: what carries the records.
        context: certificates and options.
        server_side: which side this is.
        server_hostname: on the client's side, the name that it expects in the certificate.
    """

    def __init__(
        self,
        transport: trio.abc.Stream,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        self.transport = transport
        self.engine = TlsEngine(context, server_side=server_side, server_hostname=server_hostname)

    async def do_handshake(self) -> None:
        """Agree on keys, and check certificates as the context says. Cancelled, the stream is of no use.

        If that fails, the other side gets the alert that it is owed, if it speaks TLS at all; otherwise
        it gets nothing.

        Raises:
            trio.BrokenResourceError: it failed; an `ssl.SSLError` or a `HandshakeFailed` that is the
                cause says why. Without one the other side has ended or reset the connection.
        """
        engine = self.engine
        with _translated():
            answer = engine.shake_hands(b"")
            while True:
                if answer:
                    await self.transport.send_all(answer)
                if engine.established:
                    return
                data = await self._receive(engine.wanted(READ_SIZE))
                try:
                    answer = engine.shake_hands(data)
                except ssl.SSLError:
                    if alert := engine.alert():
                        await self.transport.send_all(alert)
                    raise

    async def send_all(self, data: bytes | bytearray | memoryview) -> None:
        """Send all of `data`. Cancelled, it may have sent a part, and nothing more can be sent.

        Raises:
            trio.BrokenResourceError: the other side is gone.
            trio.ClosedResourceError: the output has been ended.
        """
        if self.engine.output_ended or not self.engine.established:
            raise trio.ClosedResourceError("the output has been ended")
        rest = memoryview(data)
        if not rest:
            await trio.lowlevel.checkpoint()
        with _translated():
            while rest:
                records = self.engine.encrypt(rest[:RECORD])
                rest = rest[RECORD:]
                await self.transport.send_all(records)

    async def wait_send_all_might_not_block(self) -> None:
        """Return when the transport may accept more."""
        await self.transport.wait_send_all_might_not_block()

    async def send_eof(self) -> None:
        """Send close_notify and end the transport's output. May be called again.

        A broken stream ends with an alert instead.

        Raises:
            trio.BrokenResourceError: the other side is gone.
        """
        if self.engine.established and (records := self.engine.close_output()):
            with _translated():
                await self.transport.send_all(records)
        if isinstance(self.transport, trio.abc.HalfCloseableStream):
            await self.transport.send_eof()

    async def receive_some(self, max_bytes: int | None = None) -> bytes:
        """Return what has come, b"" at the end of the input. Cancelled, it has taken nothing.

        Raises:
            trio.BrokenResourceError: the connection was reset, cut off or tampered with.
        """
        await trio.lowlevel.checkpoint_if_cancelled()
        max_bytes = READ_SIZE if max_bytes is None else max_bytes
        if max_bytes < 1:
            raise ValueError(f"max_bytes is {max_bytes}; it must be 1 or more")
        waited = False
        with _translated():
            while (data := self.engine.read(max_bytes)) is None:
                self.engine.feed(await self._receive(READ_SIZE))
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

    async def _receive(self, max_bytes: int) -> bytes:
        data = await self.transport.receive_some(max_bytes)
        if not data:
            raise trio.BrokenResourceError("the input ended without close_notify")
        return bytes(data)


@contextmanager
def _translated() -> Iterator[None]:
    """Turn OpenSSL's errors into those of a stream; see `TlsEngine`."""
    try:
        yield
    except (OSError, HandshakeFailed) as error:
        raise trio.BrokenResourceError from error
