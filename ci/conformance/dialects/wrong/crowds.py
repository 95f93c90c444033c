"""READ, HARM and STLS broken, one at a time."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

from ci.conformance.dialects.protocols import SMTP
from ci.conformance.dialects.registry import variant, wrong
from ci.conformance.dialects.serving import READ_SIZE, Conversation, DialectServer, Protocol

# READ and HARM


@wrong("READ-2", flood=True)
class ReadsOn(Conversation):
    """Reads on where much comes at once, and answers none of it."""

    received = 0

    def take(self, data: bytes) -> None:
        self.received += len(data)
        if self.received < 16 * READ_SIZE:
            super().take(data)


@wrong("HARM-1", jobs=1)
class OneAtATime(DialectServer):
    """Serves one client at a time."""

    def serve(self, conversation: Conversation) -> None:
        self.converse(conversation)


class DiesOfResets(DialectServer):
    """Ends every conversation when clients reset several in a row."""

    def __init__(self, protocol: Protocol) -> None:
        super().__init__(protocol)
        self.resets: list[float] = []

    def converse(self, conversation: Conversation) -> None:
        try:
            conversation.converse()
            conversation.end()
        except ConnectionResetError:
            self.resets = [when for when in self.resets if time.monotonic() - when < 2] + [time.monotonic()]
            for each in list(self.open if len(self.resets) > 3 else ()):
                with contextlib.suppress(OSError):
                    each.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.open.discard(conversation)
        conversation.sock.close()


wrong("HARM-2", jobs=1)(DiesOfResets)

_SENDING = threading.Lock()


def _say_in_turn(self: Conversation, data: bytes) -> None:
    with _SENDING:
        self.sock.settimeout(None)
        Conversation.say(self, data)


variant(
    "HARM-3",
    "SendsOneAtATime",
    "Sends to one client at a time, and waits for one that does not read.",
    say=_say_in_turn,
    run={"jobs": 1, "flood": True},
)


@wrong("HARM-4", jobs=1)
class ServesFifteen(DialectServer):
    """Turns away the sixteenth client."""

    def serve(self, conversation: Conversation) -> None:
        if len(self.open) < 15:
            super().serve(conversation)
        else:
            conversation.sock.close()


_SHARED: list[bytes] = [b""]


@wrong("HARM-5", jobs=1)
class SharesItsBuffer(Conversation):
    """Where three clients are there, keeps the beginning of a line where another one's line finds it."""

    def take(self, data: bytes) -> None:
        if self.skipping or len(self.pending) > 100 or len(self.server.open) < 3:
            super().take(data)
            return
        self.pending, _SHARED[0] = _SHARED[0], b""
        super().take(data)
        self.share()

    def share(self) -> None:
        """Keep the beginning of a line for any client."""
        if not self.skipping and len(self.pending) < 100 and len(self.server.open) >= 3:
            _SHARED[0], self.pending = self.pending, b""


@wrong("HARM-6", jobs=1)
class TiresOfClients(DialectServer):
    """Accepts a limited number of clients."""

    def serve(self, conversation: Conversation) -> None:
        super().serve(conversation)
        if self.accepted > 40:
            self.stop()


# STLS

variant("STLS-1", "KeepsThePlain", "Answers over TLS what came in plain.", SMTP, drop_pending=lambda _: None)


def _refuse(self: Conversation, go_ahead: bytes) -> bytes:
    self.last = True
    return go_ahead


variant("STLS-2", "HasNoTls", "Gives the go-ahead and ends the conversation.", SMTP, turn_to_tls=_refuse)


def _talkative(self: Conversation, go_ahead: bytes) -> bytes:
    return Conversation.turn_to_tls(self, go_ahead + b"250 by the way\r\n")


variant("STLS-3", "SaysMoreInPlain", "Says more behind its go-ahead.", SMTP, turn_to_tls=_talkative)
