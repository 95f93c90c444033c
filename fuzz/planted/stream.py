"""Bugs in the portable driver."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a client is prompted every so often",
        "server",
        "if session.awaits_silence:",
        "if not session.unfinished:",
    ),
    Bug(
        "the output is not ended",
        "server",
        "await self._stream.send_eof()",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a client that stays is waited for without end",
        "server",
        "with trio.move_on_after(self._limits.linger_timeout):",
        "with trio.CancelScope():",
    ),
    Bug(
        "a read that gets a part outlives its handler",
        "late_use",
        "while not (session.closing or self._interrupted):",
        "while not session.closing:",
    ),
    Bug(
        "an error of the stream escapes a handshake",
        "tls",
        "except (trio.BrokenResourceError, trio.ClosedResourceError) as error:\n            match",
        "except trio.ClosedResourceError as error:\n            match",
    ),
)
