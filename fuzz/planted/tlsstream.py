"""Bugs in TLS as a stream."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "an input that was cut off counts as ended",
        "tls",
        "self.engine.feed(await self._receive(READ_SIZE))",
        "data = bytes(await self.transport.receive_some(READ_SIZE))\n"
        "                if not data:\n                    return data\n"
        "                self.engine.feed(data)",
    ),
    Bug(
        "the transport is left open behind close_notify",
        "tls",
        "            await self.transport.send_eof()",
        "            pass",
    ),
    Bug(
        "only the first record of what is sent is sent",
        "tls",
        "rest = rest[RECORD:]",
        "rest = rest[:0]",
    ),
    Bug(
        "more can be sent behind the end",
        "tls",
        "if self.engine.output_ended or not self.engine.established:",
        "if False:",
    ),
    Bug(
        "an error of OpenSSL escapes",
        "tls",
        "except (OSError, HandshakeFailed) as error:\n        raise trio.BrokenResourceError from error",
        "except ssl.SSLEOFError as error:\n        raise trio.BrokenResourceError from error",
    ),
)
