"""TLS without I/O: `TlsEngine`, bytes in and bytes out, each direction ending by itself.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import ssl
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from .errors import HandshakeFailed
from .handshakegate import HandshakeGate
from .tls import session_context

#: The most bytes that one record holds, RFC 8446 section 5.1. So much is encrypted at a time.
RECORD: Final = 16384
#: OpenSSL's buffers keep the largest size they have had: this is what an idle connection may hold.
READ_SIZE: Final = 2 * RECORD

#: How many bytes may come without a byte of content: more than the largest record, which may come in pieces.
#: Key updates carry none, and each costs as much as ten lines.
MAX_EMPTY: Final = RECORD + 4096

#: How much reads may leave to be sent: answers to key updates and the like, sent with the next data.
MAX_UNSAID: Final = 65536


#: After a handshake; nothing is fed to it.
_DONE: Final = HandshakeGate.open()


class TlsEngine:
    """One side of a TLS connection. A driver moves what it takes in and gives out.

    The driver's side:

        output = engine.shake_hands(b"")        before anything is read, and for each read until `established`
        engine.feed(data)                       for what a read of the transport gave, then
        engine.read(n)                          until it gives None
        output = engine.encrypt(data)           what carries `data`
        output = engine.close_output()            close_notify; the input stays open

    What OpenSSL objects to is raised as an OSError: as a rule an `ssl.SSLError`, but asked again after
    a failure it may give no reason, and Python, from 3.13 on, then raises what errno still names.

    Args:
        context: certificates and options.
        server_side: which side this is.
        server_hostname: on the client's side, the name that it expects in the certificate.

    Attributes:
        established: whether the handshake is done.
        input_ended: whether OpenSSL has met the end of the input, or something that breaks it: no more is
            to be fed.
        output_ended: whether `close_output` has been called.
        drained: whether a read would give None for certain, unless more is fed.
    """

    __slots__ = (
        "_context",
        "_empty",
        "_gate",
        "_incoming",
        "_outgoing",
        "_read_record",
        "_server_hostname",
        "_server_side",
        "_tls",
        "_unread",
        "_write_record",
        "drained",
        "established",
        "input_ended",
        "output_ended",
    )

    def __init__(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
    ) -> None:
        self._context = context
        self._server_side = server_side
        self._server_hostname = server_hostname
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._gate = HandshakeGate() if server_side else HandshakeGate.open()
        self._tls: ssl.SSLObject | None = None  # which takes most of the memory: made when it is needed
        self._unread = b""
        self.drained = False
        self._empty = 0  # bytes that have been fed since something was read
        self.established = False
        self.input_ended = False
        self.output_ended = False

    # The handshake

    def wanted(self, max_bytes: int) -> int:
        """Return how many bytes the next read of the handshake may give, `max_bytes` at most.

        Raises:
            HandshakeFailed: the client has sent as many as it may.
        """
        return self._gate.wanted(max_bytes)

    def shake_hands(self, data: bytes) -> bytes:
        """Take in what was received, nothing with b""; return what is to be sent now.

        In TLS 1.3 a server's last messages are session tickets, which are not urgent: they are sent with
        the first data. A client that sends a line and leaves would answer them with a
        reset, and the line be lost (trio issue 819).

        Raises:
            OSError: OpenSSL objects; what `alert` returns is owed to the other side.
            HandshakeFailed: the client's messages are longer than allowed.
        """
        gate = self._gate
        passed = gate.feed(data) if data else b""
        if self._server_side and not passed:
            return b""
        tls = self._begin(gate)
        answers: list[bytes] = []
        while True:
            self._incoming.write(passed)
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                answers.append(self._outgoing.read())
                passed = gate.answered(answers[-1])
                if not passed:
                    return b"".join(answers)
            else:
                break
        self.established = True
        self._gate = _DONE
        if self._server_side and tls.version() == "TLSv1.3":
            return b""
        return self._outgoing.read()  # the only answer: what came before one ends no handshake

    def _begin(self, gate: HandshakeGate) -> ssl.SSLObject:
        """Return OpenSSL's object; its context keeps no session of a client that takes no ticket."""
        if self._tls is None:
            context = self._context if gate.offers_ticket else session_context(self._context)
            self._tls = context.wrap_bio(
                self._incoming,
                self._outgoing,
                server_side=self._server_side,
                server_hostname=self._server_hostname,
            )
            self._tls.context = self._context
            self._read_record, self._write_record = self._tls.read, self._tls.write
        return self._tls

    def alert(self) -> bytes:
        """Return the alert that is due after a failed handshake; b"" if the other side does not speak TLS."""
        return self._outgoing.read() if self._gate.speaks_tls else b""

    def certificate(self) -> Mapping[str, Any] | None:
        """Return the other side's certificate, as `ssl.SSLSocket.getpeercert` gives it; None without one.

        Raises:
            HandshakeFailed: a name in it is not UTF-8, which Python demands.
        """
        try:
            return self.tls.getpeercert() or None
        except ValueError as error:
            raise HandshakeFailed("the client's certificate cannot be read") from error

    @property
    def tls(self) -> ssl.SSLObject:
        """OpenSSL's object, once the handshake has begun."""
        assert self._tls is not None  # noqa: S101 - the caller has seen that the handshake is done
        return self._tls

    # The conversation

    @property
    def buffered(self) -> int:
        """How many bytes are held, encrypted or not, and one for the end; `read` goes on with them."""
        return len(self._unread) + self._incoming.pending + self.tls.pending() + self.input_ended

    def feed(self, data: bytes) -> None:
        """Take in what a read of the transport gave."""
        self._empty += len(data)
        self._incoming.write(data)

    def read(self, max_bytes: int) -> bytes | None:
        """Return decrypted input, b"" at its end; None if more has to be fed first.

        Raises:
            OSError: the input was tampered with (what came before is returned first), or the other side
                asks for answers and does not let them out.
        """
        if self._unread:
            data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]
            return data
        if self._outgoing.pending > MAX_UNSAID:
            raise ConnectionAbortedError("the peer requests answers and does not read them")
        return self._decrypt(max_bytes)

    def _decrypt(self, max_bytes: int) -> bytes | None:
        size = min(RECORD, max_bytes)
        try:
            part = self._read_record(size)
        except ssl.SSLWantReadError:
            self.drained = True
            if self._empty > MAX_EMPTY:
                self._end_input()
                raise ConnectionAbortedError("the peer sends records without content") from None
            return None
        except ssl.SSLZeroReturnError:  # the end, once the output has ended too
            part = b""
        except OSError:
            self._end_input()
            raise
        self._empty = 0
        if not part:
            self._end_input()
        elif len(part) < size and not self._incoming.pending:
            self.drained = True  # the usual case: one record, and asking for another would raise
        else:
            self.drained = False
            return part + self._decrypt_more(max_bytes - len(part))
        return part

    def _decrypt_more(self, max_bytes: int) -> bytes:
        """Return what can be read behind a record; an error in the input is raised by the next read."""
        parts: list[bytes] = []
        try:
            while max_bytes and (part := self._read_record(min(max_bytes, RECORD))):
                parts.append(part)
                max_bytes -= len(part)
        except ssl.SSLWantReadError:
            self.drained = True
        except OSError:
            self._end_input()
        else:
            if max_bytes:
                self._end_input()
        return b"".join(parts)

    def _end_input(self) -> None:
        """Note that every read from now on returns the end, or raises what has broken the input."""
        self.input_ended = True
        self.drained = False

    def encrypt(self, data: bytes | bytearray | memoryview) -> bytes:
        """Return the records that carry `data`, which is some 64 KiB at most."""
        if len(data) <= RECORD:
            self._write_record(data)  # all of it: Python does not set SSL_MODE_ENABLE_PARTIAL_WRITE
            return self._outgoing.read()
        records: list[bytes] = []  # one at a time, since the buffer in between keeps its size
        with memoryview(data) as rest:
            for start in range(0, len(data), RECORD):
                self._write_record(rest[start : start + RECORD])
                records.append(self._outgoing.read())
        return b"".join(records)

    def close_output(self) -> bytes:
        """Return what ends the output: close_notify, or the alert that says why the input is broken.

        A second call returns b"".
        """
        if self.output_ended:
            return b""
        self.output_ended = True
        with suppress(OSError):  # want-read, as a rule: it looks for the other side's close_notify
            # It must find nothing else: input that was not asked for yet would be an error.
            self._unread = self._decrypt(sys.maxsize) or b""
            self.tls.unwrap()
        self.drained = False
        return self._outgoing.read()
