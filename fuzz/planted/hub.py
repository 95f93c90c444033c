"""Bugs in the fast driver."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "a byte is lost when the kernel takes only a part",
        "server",
        "channel.write_buffer = memoryview(reply)[sent:]",
        "channel.write_buffer = memoryview(reply)[sent + 1 :]",
    ),
    Bug(
        "a client is read from while its reply waits",
        "server",
        "self._flush(channel)\n                    continue",
        "self._flush(channel)",
    ),
    Bug(
        "the end of the input is taken for a lost connection",
        "server",
        "reply = session.end_of_input()",
        "raise ConnectionLost",
    ),
    Bug(
        "the reply to a last line without LF is not sent",
        "server",
        "reply = session.end_of_input()",
        "reply = session.end_of_input()[:0]",
    ),
    Bug(
        "what the kernel holds at the stop is dropped",
        "server",
        "left = channel.waiting()",
        "left = 0",
    ),
    Bug(
        "a session that has said its last is not noticed",
        "server",
        "if session.closing:\n                    channel.session = None",
        "if not session:\n                    channel.session = None",
    ),
)
