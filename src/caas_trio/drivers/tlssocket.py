"""TLS over a non-blocking socket, with the methods that the hub's channels call: `TlsSocket`."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Protocol

from caas_trio.core.errors import ConnectionLost, HandshakeFailed
from caas_trio.core.tls import openssl_words
from caas_trio.core.tlsengine import READ_SIZE, TlsEngine

from .poller import EPOLLIN, EPOLLOUT

#: How much is encrypted before it is handed to the kernel.
_BATCH: Final = 65536


class _HasOptions(Protocol):
    def setsockopt(self, level: int, name: int, value: int, /) -> None: ...


def acknowledge(sock: _HasOptions) -> None:
    """Acknowledge the end of a handshake at once.

    The client's last word needs no answer, so the kernel puts that off, by 40 ms; until then Nagle's
    algorithm keeps the client's first line back.
    """
    with suppress(AttributeError, OSError):  # not Linux, or closed already
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


class TlsSocket:
    """A non-blocking socket whose input and output go through a `TlsEngine`; it owns the socket.

    `recv` and `send` are as a socket's: they raise BlockingIOError where nothing can be done without
    waiting. But what `send` has not taken must come again, at the front of the next call's data: a part
    of it may be encrypted, and sent in part, already.

    Attributes:
        raw: the socket itself.
        engine: what encrypts and decrypts.
        certificate: the other side's certificate, once it is known; None if none was asked for.
    """

    __slots__ = ("_owed", "_records", "certificate", "engine", "raw")

    def __init__(self, sock: socket.socket, engine: TlsEngine) -> None:
        self.engine = engine
        self.certificate: Mapping[str, Any] | None = None
        self.raw = sock
        self._records: bytes | memoryview = engine.shake_hands(b"")
        self._owed = 0  # how many bytes of the data whose sending is under way those records carry

    def fileno(self) -> int:
        """Return the socket's descriptor, -1 once it is closed."""
        return self.raw.fileno()

    def handshake_step(self) -> int:
        """Go on with the handshake; return the events of epoll to be waited for, 0 once it is done.

        Raises:
            HandshakeFailed: the handshake failed; the other side has been sent its alert, if the kernel
                took it.
            ConnectionLost: the other side is gone.
        """
        engine = self.engine
        try:
            while self._push():
                if engine.established:
                    return 0
                data = self.raw.recv(engine.wanted(READ_SIZE))
                if not data:
                    raise ConnectionLost
                self._records = engine.shake_hands(data)
        except BlockingIOError:
            return EPOLLIN
        except ssl.SSLError as error:
            self._records = engine.alert()
            with suppress(OSError):
                self._push()
            raise HandshakeFailed(openssl_words(error)) from error
        except OSError as error:
            raise ConnectionLost from error
        return EPOLLOUT

    def recv(self, max_bytes: int) -> bytes:
        """Return decrypted input, b"" at its end.

        Raises:
            BlockingIOError: nothing whole has come.
            OSError: the connection was reset, cut off or tampered with.
        """
        engine = self.engine
        data = None if engine.drained else engine.read(max_bytes)
        if data is None:
            records = self.raw.recv(READ_SIZE)
            if not records:
                raise ConnectionResetError("the input ended without close_notify")
            engine.feed(records)
            data = engine.read(max_bytes)
            if data is None:
                raise BlockingIOError
        return data

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Send what the kernel takes of `data`; return how many bytes of it that is.

        Raises:
            BlockingIOError: it took none.
            OSError: the connection was reset, or the output has ended.
        """
        engine = self.engine
        if engine.output_ended:
            raise BrokenPipeError("the output has been ended")
        size, sent = len(data), 0
        while not self._records or self._push():
            sent += self._owed
            self._owed = 0
            if sent == size:
                return size
            part = data if not sent and size <= _BATCH else memoryview(data)[sent : sent + _BATCH]
            self._owed = len(part)
            self._records = engine.encrypt(part)
        if not sent:
            raise BlockingIOError
        return sent

    def shutdown(self, how: int) -> None:
        """End the output (`how` is SHUT_WR) with close_notify, or with the alert for broken input.

        Raises:
            BlockingIOError: the kernel has no room; to be called again.
            OSError: the other side is gone.
        """
        records = self.engine.close_output()
        if records:
            self._records = b"".join((self._records, records))
        if not self._push():
            raise BlockingIOError
        self.raw.shutdown(how)

    def close(self) -> None:
        """Close the socket; without a `shutdown` before, the other side can tell that it is cut off."""
        self.raw.close()

    def _push(self) -> bool:
        """Send the records that are due; return whether the kernel has taken all of them."""
        if self._records:
            try:
                sent = self.raw.send(self._records)
            except BlockingIOError:
                return False
            if sent < len(self._records):
                self._records = memoryview(self._records)[sent:]
                return False
            self._records = b""
        return True
