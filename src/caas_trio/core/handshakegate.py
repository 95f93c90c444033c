"""The input of a TLS handshake, held back until its messages are complete: `HandshakeGate`.

OpenSSL makes room for a message by the length that its header claims, before any of it is there: nine
bytes make it take 128 KiB. So it gets the messages that can be read, which are all those before the
first encrypted record, only once they are complete, and not a byte before the first of them.

Whether a message is right is for OpenSSL to say; the gate only measures. References are to RFC 8446.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
import struct
import sys
from typing import Final

from .errors import HandshakeFailed

#: How many bytes a client may send before its handshake is done. A chain of three certificates with
#: post-quantum signatures (ML-DSA) is about 20 KB; every certificate takes OpenSSL about 4 KiB more.
MAX_HANDSHAKE: Final = 32768
#: How many of them a ClientHello may have. One or two thousand is what they have.
_MAX_HELLO: Final = 16384

#: The header of a record (5.1): type, version, length. Longer records than this are refused by OpenSSL.
_RECORD: Final = struct.Struct("!BBxH")
_MAX_RECORD: Final = 16384
_MAJOR: Final = 3
_HANDSHAKE: Final = 22
_CLIENT_HELLO: Final = 1
#: From the first of these on, what follows a ClientHello is encrypted: 1.2 and 1.3.
_ENCRYPTION_BEGINS: Final = (20, 23)

#: The header of a message (4): type, and length in three bytes.
_MESSAGE_HEADER: Final = 4
_EXTENSION: Final = struct.Struct("!HH")
_SESSION_TICKET: Final = 35

#: Where the random of a ServerHello is in the first record, and what it is if another ClientHello is
#: asked for (4.1.3).
_RANDOM: Final = slice(11, 43)
_RETRY: Final = bytes.fromhex("cf21ad74e59a6111be1d8c021e65b891c2a211167abb8c5e079e09e2c8a8339c")


class _Stage(enum.Enum):
    HELLO = "a ClientHello is still to come"
    ANSWER = "it is here, and is to be answered"
    REST = "what follows it, in the open"
    ENCRYPTED = "nothing that could be measured follows"


class HandshakeGate:
    """Lets through what OpenSSL may have by now, for one handshake.

    Attributes:
        room: how many bytes may still be fed.
        speaks_tls: whether the input begins as TLS does; false also before it has begun.
        offers_ticket: whether the ClientHello offers to keep the session in a ticket. If not, OpenSSL
            may keep the session itself, for hours.
    """

    __slots__ = (
        "_at",
        "_header",
        "_held",
        "_hello",
        "_message_left",
        "_of_handshake",
        "_record_left",
        "_stage",
        "_whole",
        "offers_ticket",
        "room",
        "speaks_tls",
    )

    def __init__(self) -> None:
        self.room = MAX_HANDSHAKE
        self.speaks_tls = False
        self.offers_ticket = False
        self._stage = _Stage.HELLO
        self._held = bytearray()
        self._at = 0  # how much of it has been looked at,
        self._whole = 0  # and how much may pass
        self._record_left = 0
        self._of_handshake = False  # whether the record is one
        self._header = bytearray()  # of the message
        self._message_left = 0
        self._hello = bytearray()  # what the ClientHello says

    @classmethod
    def open(cls) -> HandshakeGate:
        """Return one that lets everything through: for the client's side, which has chosen the server."""
        gate = cls()
        gate.room = sys.maxsize
        gate.speaks_tls = gate.offers_ticket = True
        gate._stage = _Stage.ENCRYPTED
        return gate

    def wanted(self, max_bytes: int) -> int:
        """Return how many bytes the next read may give, `max_bytes` at most.

        Raises:
            HandshakeFailed: the client has sent as many as it may.
        """
        if not self.room:
            raise HandshakeFailed(f"more than {MAX_HANDSHAKE} bytes")
        return min(max_bytes, self.room)

    def feed(self, data: bytes) -> bytes:
        """Take in what one read gave; return what may pass, b"" if that is nothing yet.

        Behind a ClientHello nothing passes until it is `answered`.

        Raises:
            HandshakeFailed: a message claims to be longer than is allowed, or a record is empty.
        """
        if self.room == MAX_HANDSHAKE:
            self.speaks_tls = data[0] == _HANDSHAKE
            if not self.speaks_tls:
                self._stage = _Stage.ENCRYPTED
        self.room -= len(data)
        self._held += data
        return self._pass()

    def answered(self, answer: bytes) -> bytes:
        """Note what the server says to what has passed; return what may pass now.

        Raises:
            HandshakeFailed: as `feed`.
        """
        if answer[_RANDOM] == _RETRY:
            self._stage = _Stage.HELLO
        elif self._stage is _Stage.ANSWER:
            self._stage = _Stage.REST
        return self._pass()

    def _pass(self) -> bytes:
        while self._step():
            pass
        end = len(self._held) if self._stage is _Stage.ENCRYPTED else self._whole
        passed = bytes(self._held[:end])
        del self._held[:end]
        self._at -= end
        self._whole = 0
        return passed

    def _step(self) -> bool:
        """Check one thing more; return whether there was one."""
        if self._stage is _Stage.ANSWER or self._stage is _Stage.ENCRYPTED:
            return False
        if not self._record_left:
            return self._begin_record()
        taken = min(self._record_left, len(self._held) - self._at)
        if self._of_handshake:
            taken = min(taken, self._message_left or _MESSAGE_HEADER - len(self._header))
        if not taken:
            return False
        piece = self._held[self._at : self._at + taken]
        self._at += taken
        self._record_left -= taken
        if self._of_handshake:
            self._take(piece)
        if not self._header:
            self._whole = self._at
        return True

    def _begin_record(self) -> bool:
        if len(self._held) - self._at < _RECORD.size:
            return False
        kind, major, length = _RECORD.unpack_from(self._held, self._at)
        self._of_handshake = kind == _HANDSHAKE
        if self._of_handshake and not length:
            raise HandshakeFailed("an empty record")
        encrypted = kind in _ENCRYPTION_BEGINS and self._stage is _Stage.REST
        if encrypted or major != _MAJOR or length > _MAX_RECORD:
            self._stage = _Stage.ENCRYPTED
        self._at += _RECORD.size
        self._record_left = length
        return True

    def _take(self, piece: bytearray) -> None:
        """Take a piece of a message, or of its header."""
        if not self._message_left:
            self._header += piece
            if len(self._header) == _MESSAGE_HEADER:
                self._begin_message()
            return
        self._message_left -= len(piece)
        if self._stage is _Stage.HELLO:
            self._hello += piece
        if not self._message_left:
            self._end_message()

    def _begin_message(self) -> None:
        kind, self._message_left = self._header[0], int.from_bytes(self._header[1:])
        if self._stage is _Stage.HELLO and kind != _CLIENT_HELLO:
            self._stage = _Stage.ENCRYPTED  # refused by OpenSSL, which says why
            return
        limit = _MAX_HELLO if kind == _CLIENT_HELLO else MAX_HANDSHAKE
        if self._message_left > limit:
            raise HandshakeFailed(f"a message longer than {limit} bytes")
        if not self._message_left:
            self._end_message()

    def _end_message(self) -> None:
        self._header.clear()
        if self._stage is _Stage.HELLO:
            self._stage = _Stage.ANSWER
            self.offers_ticket = _offers_ticket(bytes(self._hello))
            self._hello.clear()


def _offers_ticket(hello: bytes) -> bool:
    """Return whether a ClientHello (4.1.2) has the extension of RFC 5077. What is no hello has none."""
    at = 34  # behind version and random come session id, cipher suites and compression methods
    for size in (1, 2, 1):
        at += size + int.from_bytes(hello[at : at + size])
    at += 2
    while at + _EXTENSION.size <= len(hello):
        kind, length = _EXTENSION.unpack_from(hello, at)
        if kind == _SESSION_TICKET:
            return True
        at += _EXTENSION.size + length
    return False
