"""The portable driver: runs a session over any `trio.abc.Stream`."""

from __future__ import annotations

import math
from typing import Final

import trio

from .drain import Drain
from .limits import Limits
from .session import Session

READ_SIZE: Final = 65536


async def converse(stream: trio.abc.Stream, session: Session, limits: Limits, drain: Drain) -> None:
    """Run a conversation until the session is closing, or the drain has taken what was received.

    While replies are being sent nothing is read, so a client that does not read its replies is not
    read from either. The stream stays open; `part` is what usually follows.

    Raises:
        trio.BrokenResourceError: the client reset the connection.
        Exception: whatever the session raises.
    """
    await _say(stream, session.open())
    while not session.closing:
        finishing = drain.begun
        with drain.waiting(limits.prompt_delay if session.awaits_silence else math.inf) as wait:
            data = await stream.receive_some(READ_SIZE)
        if not wait.cancelled_caught:
            await _say(stream, session.receive(data) if data else session.end_of_input())
        elif finishing:
            return
        elif not drain.begun:
            await _say(stream, session.silence())


async def part(stream: trio.abc.Stream, limits: Limits) -> None:
    """End the output and let the client go: read on, throwing away, until it ends its own.

    A close with unread input would make the kernel send a reset, which can destroy replies that the
    client has not read yet. Returns after `limits.linger_timeout` seconds at the latest. The stream
    stays open; its owner closes it.

    Raises:
        trio.BrokenResourceError: the client reset the connection.
    """
    if isinstance(stream, trio.abc.HalfCloseableStream):
        await stream.send_eof()
        with trio.move_on_after(limits.linger_timeout):
            while await stream.receive_some(READ_SIZE):
                pass


async def _say(stream: trio.abc.Stream, reply: bytes) -> None:
    if reply:
        await stream.send_all(reply)
