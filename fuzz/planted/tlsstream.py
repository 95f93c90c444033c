"""Bugs in TLS as a stream."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "an input that was cut off counts as ended",
        "tls",
        'raise trio.BrokenResourceError("the input ended without close_notify")',
        'self.__dict__["_decrypt"] = lambda _: b""',
    ),
    Bug(
        "the output ends without close_notify",
        "tls",
        "self.tls.unwrap()\n            await self._flush()",
        "pass\n            await self._flush()",
    ),
    Bug(
        "the transport is left open behind close_notify",
        "tls",
        "await self._flush()\n        await self.transport.send_eof()",
        "await self._flush()",
    ),
    Bug(
        "what was decrypted before a record that is none is lost",
        "tls",
        "if not parts:\n                raise",
        "raise",
    ),
    Bug(
        "what was not read yet is lost at the end of the output",
        "tls",
        'self._unread = self._decrypt(2 * _READ_SIZE) or b""',
        "self._decrypt(2 * _READ_SIZE)",
    ),
    Bug(
        "the last read finds input that was not asked for",
        "tls",
        'self._unread = self._decrypt(2 * _READ_SIZE) or b""',
        "pass",
    ),
    Bug(
        "a read gives more than it was asked for",
        "tls",
        "data, self._unread = self._unread[:max_bytes], self._unread[max_bytes:]",
        'data, self._unread = self._unread, b""',
    ),
    Bug(
        "a record that is none ends the input",
        "tls",
        "except OSError:\n            if not parts:\n                raise",
        "except OSError:\n            pass",
    ),
    Bug(
        "a client whose TLS is wrong gets no alert",
        "tls",
        "if self._gate.speaks_tls:",
        "if not self._gate.speaks_tls:",
    ),
    Bug(
        "a client without TLS gets an alert",
        "tls",
        "if self._gate.speaks_tls:",
        "if True:",
    ),
    Bug(
        "a handshake that ends stays unsaid",
        "tls",
        'if not self._server_side or self.tls.version() != "TLSv1.3":\n            await self._flush()',
        "pass",
    ),
    Bug(
        "session tickets are sent to a client that may have left",
        "tls",
        'if not self._server_side or self.tls.version() != "TLSv1.3":\n            await self._flush()',
        "await self._flush()",
    ),
    Bug(
        "only the first record of what is sent is sent",
        "tls",
        "rest = rest[self.tls.write(rest[:_RECORD]) :]",
        "rest = rest[self.tls.write(rest[:_RECORD]) :][:0]",
    ),
    Bug(
        "answers pile up that are never flushed",
        "tls",
        "if self._outgoing.pending > _MAX_UNSAID:",
        "if False:",
    ),
    Bug(
        "more can be sent behind the end",
        "tls",
        'if self._output_ended:\n            raise trio.ClosedResourceError("the output has been ended")',
        "",
    ),
    Bug(
        "an error of OpenSSL escapes",
        "tls",
        "except (OSError, HandshakeFailed) as error:\n        raise trio.BrokenResourceError from error",
        "except ssl.SSLEOFError as error:\n        raise trio.BrokenResourceError from error",
    ),
)
