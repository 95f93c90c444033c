"""A client with or without TLS that sends what OpenSSL makes in pieces, as the script says."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from typing import Any, Final

from tests.certificates import HOST

RECORD: Final = 16384  # bytes that one record holds, RFC 8446 section 5.1


class _NoTls:
    """A substitute for an `ssl.SSLObject` where there is no TLS: all is passed on as it is."""

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._incoming = incoming
        self.write = outgoing.write

    def do_handshake(self) -> None:
        pass

    def read(self, max_bytes: int) -> bytes:
        data = self._incoming.read(max_bytes)
        if not data and not self._incoming.eof:
            raise ssl.SSLWantReadError
        return data

    def unwrap(self) -> None:
        pass


class TlsClient:
    """The other side of a connection.

    Attributes:
        wire: what is encrypted and not handed on.
        received: what it has been told, decrypted.
        ready: whether its part of the handshake is done.
        notified: whether it was told the end of the server's output.
        failure: what OpenSSL objects to, such as the server's alert.
        eof: whether the transport has ended.
        reset: whether that was no orderly end.
        first: the first byte that was sent behind a PROXY header.
        answered: whether anything came back.
        gone: whether it has left.
        spoiled: whether what it has handed on is no TLS from some place on, or was cut off.
        reading: whether it reads.
    """

    def __init__(self, sock: Any, context: ssl.SSLContext | None, shows: bytes) -> None:
        self._sock = sock
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = (
            _NoTls(self._incoming, self._outgoing)
            if context is None
            else context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)
        )
        self.in_plain = context is None
        self._unsaid = b""
        self._made = self._shown = len(shows)
        self._handed_on = 0
        self._said: list[tuple[int, bytes]] = []  # what is said, and how many bytes have then been handed on
        self._ended: int | None = None  # how many have been with close_notify
        self._ready_at: int | None = None
        self.wire, self.received = shows, b""
        self._written = 0
        self.first = b""
        self.answered = False
        self.notified = self.eof = self.gone = self.spoiled = self.lost = self.reset = False
        self.reading = True
        self.failure: ssl.SSLError | None = None
        self.go_on()

    @property
    def ready(self) -> bool:
        return self._ready_at is not None

    @property
    def heard(self) -> tuple[bytes, bool, bool]:
        """The data received so far, whether that is all, and whether the handshake is done."""
        done = self._ready_at is not None and self._ready_at <= self._handed_on
        ended = self._ended is not None and self._ended <= self._handed_on
        if self.in_plain:
            said = b"".join(text for _, text in self._said)[: max(0, self._handed_on - self._shown)]
        else:
            said = b"".join(text for at, text in self._said if at <= self._handed_on)
        return said, ended, done

    def say(self, text: bytes) -> None:
        """Send data, at the latest once the handshake is done; nothing behind the end."""
        if self._ended is None:
            self._unsaid += text
            self.go_on()

    def go_on(self) -> None:
        """Run OpenSSL; once it has failed, it must not be called again."""
        if self.failure is not None:
            return
        try:
            if not self.ready:
                self._tls.do_handshake()
                self._collect()
                self._ready_at = self._made
            while self._unsaid:
                text, self._unsaid = self._unsaid[:RECORD], self._unsaid[RECORD:]
                self._tls.write(text)
                self._collect()
                self._said.append((self._made, text))
            while not self.notified:
                told = self._tls.read(RECORD)
                self.received += told
                self.notified = not told
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.notified = True
        except ssl.SSLError as error:
            self.failure = error
        self._collect()

    def _collect(self) -> None:
        made = self._outgoing.read()
        self.wire += made
        self._made += len(made)

    def hand_on(self, max_bytes: int) -> None:
        """Send at max_bytes so many of the bytes that are due; what the kernel does not take stays."""
        sent = self._send(self.wire[:max_bytes])
        self.wire = self.wire[sent:]
        if not self.spoiled:
            self._handed_on += sent

    def spoil(self, raw: bytes) -> None:
        """Send bytes that are not what they ought to be."""
        if self._send(raw):
            self.spoiled = True

    def notify(self) -> None:
        """Send close_notify; in plain, end the transport's output."""
        if self.ready and self._ended is None and self.failure is None and not self.in_plain:
            with suppress(ssl.SSLError):  # it looks for the server's
                self._tls.unwrap()
            self._collect()
            self._ended = self._made

    def end(self) -> None:
        """End the transport's output; without all of what was said before, that cuts it off."""
        if self.in_plain and self._ended is None:
            self._ended = self._handed_on
        self.spoiled |= self._ended is None or self._ended > self._handed_on
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)

    def leave(self) -> None:
        """Close the socket, whatever is unread."""
        self._sock.close()
        self.gone = self.spoiled = True

    def read(self) -> bool:
        """Read what is there; return whether that was anything."""
        moved = False
        while self.reading and not self.eof and not self.gone:
            try:
                data = self._sock.recv(65536)
            except BlockingIOError:
                break
            except ConnectionResetError:
                self.reset = True
                data = b""
            self._incoming.write(data)
            if not data:
                self.eof = True
                self._incoming.write_eof()
            moved = True
            self.answered |= bool(data)
            self.go_on()
        return moved

    def _send(self, data: bytes) -> int:
        if self.gone or not data:
            return 0
        try:
            taken: int = self._sock.send(data)
        except BlockingIOError:
            return 0
        except (BrokenPipeError, ConnectionResetError):
            self.lost = True
            return 0
        self.first = self.first or data[:taken][max(0, self._shown - self._written) :][:1]
        self._written += taken
        return taken
