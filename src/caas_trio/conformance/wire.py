"""One client's connection: a writer of its own, and reads on demand so that memory stays bounded."""

from __future__ import annotations

import enum
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import trio

from caas_trio.core.endpoint import Endpoint, Scheme
from caas_trio.core.tls import load_authorities, openssl_words
from caas_trio.drivers.tlsstream import TlsStream

from .cuts import Cut
from .profile import Profile
from .wirelog import Event, WireLog

_READ_SIZE: Final = 65536
_WRITE_SIZE: Final = 65536
#: Seconds within which a writer whose send failed has noted that.
_RESET_NOTICED_S: Final = 0.05
#: struct linger: on, zero seconds. Closing then resets.
_NO_LINGER: Final = struct.pack("ii", 1, 0)

#: OpenSSL's reasons for an answer that is not a TLS record.
_NOT_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "BAD_RECORD_TYPE", "UNKNOWN_PROTOCOL"})


async def _connect_tcp(endpoint: Endpoint, _: Profile) -> trio.SocketStream:
    return await trio.open_tcp_stream(endpoint.host, endpoint.port)


async def _connect_tls(endpoint: Endpoint, profile: Profile) -> TlsStream:
    context = client_context(profile.tls_ca, insecure=profile.tls_insecure)
    return await _with_tls(await trio.open_tcp_stream(endpoint.host, endpoint.port), context, endpoint.host)


async def _with_tls(plain: trio.SocketStream, context: ssl.SSLContext, host: str) -> TlsStream:
    """Return a connection with TLS over it; it is closed if that fails.

    Raises:
        ConnectionError: the handshake has failed.
    """
    stream = TlsStream(plain, context, server_side=False, server_hostname=host)
    try:
        await stream.do_handshake()
    except trio.BrokenResourceError as error:
        plain.socket.close()
        cause = error.__cause__
        reason = openssl_words(cause) if isinstance(cause, ssl.SSLError) else "the server left"
        if isinstance(cause, ssl.SSLError) and cause.reason in _NOT_TLS:
            reason = "what answers there is not TLS"
        raise ConnectionError(f"the TLS handshake failed ({reason})") from None
    except BaseException:
        plain.socket.close()
        raise
    return stream


@cache
def client_context(authorities: str | None, *, insecure: bool) -> ssl.SSLContext:
    """Return the context by which a tls server's certificate is verified; see `Profile`.

    Raises:
        TlsError: the file of the CAs cannot be used.
    """
    if authorities is None:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        load_authorities(context, Path(authorities))
    if insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def _connect_unix(endpoint: Endpoint, _: Profile) -> trio.SocketStream:
    # Not trio.open_unix_socket: it takes no abstract names.
    sock = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        await sock.connect(unix_address(endpoint))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


def unix_address(endpoint: Endpoint) -> str:
    """Return the kernel's name for the path of a Unix socket."""
    path = endpoint.path
    return f"\0{path[1:]}" if path.startswith("@") else path


Connector: TypeAlias = Callable[[Endpoint, Profile], Awaitable[trio.SocketStream | TlsStream]]

#: The schemes whose endpoints take connections, and how to make one. OSError if that fails.
CONNECTORS: Final[dict[Scheme, Connector]] = {
    Scheme.TCP: _connect_tcp,
    Scheme.TLS: _connect_tls,
    Scheme.UNIX: _connect_unix,
}


class End(enum.Enum):
    """How the server ended a connection; the value is what it did."""

    FIN = "ended the connection"
    RESET = "reset the connection"
    CUT_OFF = "ended the connection without close_notify"


_EVENTS: Final = {End.FIN: Event.END, End.RESET: Event.RESET, End.CUT_OFF: Event.CUT_OFF}


class Wire:
    """One connection to the server.

    Args:
        stream: the connection; `close` closes it.
        client: its number in the case.
        log: where to note what passes.
    """

    def __init__(self, stream: trio.SocketStream | TlsStream, client: int, log: WireLog) -> None:
        self._stream = stream
        carrier = stream.transport if isinstance(stream, TlsStream) else stream
        assert isinstance(carrier, trio.SocketStream)  # noqa: S101 - it comes from a connector
        self._socket = carrier.socket
        self._client = client
        self._log = log
        self._give, self._take = trio.open_memory_channel[tuple[bytes, Cut] | None](1000)
        self._pushed_back = b""
        self._waiting = 0
        self._flushed = trio.Event()
        self._flushed.set()
        self._connected_at = trio.current_time()
        self.end: End | None = None
        self.optional_prompt = b""
        #: Whether the optional prompt came, and whether the end of the output is queued.
        self.greeted = False
        self.ended_input = False
        #: The bytes queued behind the last LF.
        self.tail = b""
        #: Bytes that have come.
        self.received = 0
        #: Bytes that the kernel has taken, when it took the latest, and whether it refused to take more.
        self.sent = 0
        self.sent_at = 0.0
        self.write_failed = False
        #: Seconds from the connection to the first send; None before it.
        self.lateness: float | None = None

    async def write(self) -> None:
        """Send what is queued, as long as the connection is there. Runs in a task of its own.

        After a failed send, nothing more is sent: bytes that are queued then are dropped.
        """
        async with self._take:
            async for job in self._take:
                try:
                    if not self.write_failed:
                        await self._write_one(job)
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    self.write_failed = True
                self._waiting -= 1
                if not self._waiting:
                    self._flushed.set()

    async def _write_one(self, job: tuple[bytes, Cut] | None) -> None:
        # What is logged is logged first: the server may answer before a send returns.
        if job is None:
            self._log.add(self._client, Event.ENDED_INPUT)
            await self._stream.send_eof()
            return
        data, cut = job
        for number, piece in enumerate(cut.pieces(data)):
            if number:
                await trio.sleep(cut.delay_s)
            if self.lateness is None:
                self.lateness = trio.current_time() - self._connected_at
            with memoryview(piece) as view:
                entry = self._log.begin(self._client, Event.SENT, view)
                for start in range(0, len(view), _WRITE_SIZE):
                    chunk = view[start : start + _WRITE_SIZE]
                    await self._stream.send_all(chunk)
                    self.sent += len(chunk)
                    self.sent_at = trio.current_time()
                    entry.size += len(chunk)

    def _hand_over(self, job: tuple[bytes, Cut] | None) -> None:
        if not self._waiting:
            self._flushed = trio.Event()
        self._waiting += 1
        self._give.send_nowait(job)

    def send(self, data: bytes, cut: Cut) -> None:
        """Queue bytes, to be sent in the pieces of a cut."""
        self.tail = (self.tail + data).rpartition(b"\n")[2]
        self._hand_over((data, cut))

    def end_input(self) -> None:
        """Queue the end of the output."""
        self.ended_input = True
        self._hand_over(None)

    @property
    def everything_sent(self) -> bool:
        """Whether everything queued is sent: nothing waits, and nothing failed."""
        return not self._waiting and not self.write_failed

    async def flushed(self) -> None:
        """Return once everything queued is sent, or cannot be."""
        await self._flushed.wait()

    async def receive(self) -> bytes:
        """Return the next bytes; b"" at the end, which `end` then names."""
        data = await self._read()
        while self.optional_prompt and data:
            if data.startswith(self.optional_prompt):
                data = data[len(self.optional_prompt) :] or await self._read()
                self.optional_prompt = b""
                self.greeted = True
            elif self.optional_prompt.startswith(data) and (more := await self._read()):
                data += more
            else:
                self.optional_prompt = b""
        return data

    async def _read(self) -> bytes:
        if self._pushed_back:
            data, self._pushed_back = self._pushed_back, b""
            return data
        if self.end is not None:
            return b""
        try:
            data = bytes(await self._stream.receive_some(_READ_SIZE))
        except trio.BrokenResourceError as error:
            self.end = End.CUT_OFF if error.__cause__ is None else End.RESET
        else:
            if data:
                self.received += len(data)
                self._log.add(self._client, Event.RECEIVED, data)
                return data
            # The kernel reports a reset once: if the writer got it, the reader sees a mere end.
            with trio.move_on_after(_RESET_NOTICED_S):
                await self._flushed.wait()
            self.end = End.RESET if self.write_failed else End.FIN
        self._log.add(self._client, _EVENTS[self.end])
        return b""

    def push_back(self, data: bytes) -> None:
        """Return these bytes from the next `receive`."""
        self._pushed_back = data

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Switch to TLS, once everything is sent and nothing is being received.

        Raises:
            ConnectionError: the handshake has failed.
        """
        await self.flushed()
        assert isinstance(self._stream, trio.SocketStream)  # noqa: S101 - it was no TLS so far
        self._stream = await _with_tls(self._stream, context, "localhost")

    def reset(self) -> None:
        """Close the connection with a reset; what was not sent yet is lost."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._socket.close()
        self._log.add(self._client, Event.CLIENT_RESET)

    def close(self) -> None:
        """Close the connection; idempotent."""
        self._give.close()
        self._socket.close()


def why(error: OSError) -> str:
    """Return why there is no connection, in the kernel's words where trio has wrapped them."""
    cause: BaseException = error
    while (inner := cause.__cause__) is not None:
        cause = inner.exceptions[0] if isinstance(inner, BaseExceptionGroup) else inner
    strerror = cause.strerror if isinstance(cause, OSError) else None
    return (strerror or str(error)).rpartition(": ")[2]
