"""The portable driver: runs a session over any `trio.abc.Stream`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import trio

from .channel import Channel
from .drain import Drain
from .errors import ConnectionLost, TooSlow
from .limits import Limits
from .session import Session

READ_SIZE: Final = 65536


class StreamChannel(Channel):
    """A connection over a stream, which it owns."""

    def __init__(self, stream: trio.abc.Stream, limits: Limits, drain: Drain) -> None:
        self._stream = stream
        self._limits = limits
        self._drain = drain

    async def converse(self, session: Session) -> None:
        """Run a conversation; see `Channel.converse`."""
        await self._say(session.open())
        line, begun = 0, trio.current_time()
        while not session.closing:
            if session.unfinished != line:
                line, begun = session.unfinished, trio.current_time()
            finishing = self._drain.begun
            patience, limit = self._patience(session, begun)
            with self._drain.waiting(patience) as wait, _translated():
                data = await self._stream.receive_some(READ_SIZE)
            if not wait.cancelled_caught:
                await self._say(session.receive(data) if data else session.end_of_input())
            elif finishing:
                return
            elif not self._drain.begun:
                if limit != "prompt_delay":
                    raise TooSlow(limit)
                await self._say(session.silence())

    async def part(self) -> None:
        """End the output and let the client go; see `Channel.part`."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with trio.move_on_after(self._limits.linger_timeout), _translated():
                await self._stream.send_eof()
                while await self._stream.receive_some(READ_SIZE):
                    pass

    async def aclose(self) -> None:
        """Close the stream."""
        await trio.aclose_forcefully(self._stream)

    def _patience(self, session: Session, begun: float) -> tuple[float, str]:
        """Return how long the next read may take, and which of the limits says so."""
        limits = self._limits
        waits = [(limits.idle_timeout, "idle_timeout")]
        if session.unfinished:
            waits.append((begun + limits.line_timeout - trio.current_time(), "line_timeout"))
        if session.awaits_silence:
            waits.append((limits.prompt_delay, "prompt_delay"))
        return min(waits)

    async def _say(self, reply: bytes) -> None:
        if not reply:
            return
        with trio.move_on_after(self._limits.write_timeout) as wait, _translated():
            await self._stream.send_all(reply)
        if wait.cancelled_caught:
            raise TooSlow("write_timeout")


@contextmanager
def _translated() -> Iterator[None]:
    """Tell of a lost connection in our own words."""
    try:
        yield
    except trio.BrokenResourceError as error:
        raise ConnectionLost from error
