"""The portable driver: runs a session over any `trio.abc.Stream`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import trio

from caas_trio.core.errors import ConnectionLost, TooSlow
from caas_trio.core.limits import Limits
from caas_trio.core.session import Session
from caas_trio.core.telemetry import ServerStats

from .channel import Channel
from .drain import Drain

READ_SIZE: Final = 65536


class StreamChannel(Channel):
    """A connection over a stream, which it owns."""

    def __init__(
        self,
        stream: trio.abc.Stream,
        limits: Limits,
        drain: Drain,
        certificate: Mapping[str, Any] | None = None,
        stats: ServerStats | None = None,
    ) -> None:
        self.certificate = certificate
        self._stream = stream
        self._limits = limits
        self._drain = drain
        self._stats = stats or ServerStats()
        self.received = 0
        self.sent = 0

    async def receive_some(self, max_bytes: int = READ_SIZE) -> bytes:
        """Return what one read gives; see `Channel.receive_some`."""
        with _translated():
            data = bytes(await self._stream.receive_some(max_bytes))
        self.received += len(data)
        self._stats.read(data)
        return data

    async def send_all(self, data: bytes | memoryview) -> None:
        """Send all of `data`; see `Channel.send_all`."""
        with trio.move_on_after(self._limits.write_timeout), _translated():
            await self._stream.send_all(data)
            self.sent += len(data)
            self._stats.sent += len(data)
            return
        raise TooSlow("write_timeout")

    async def send_eof(self) -> None:
        """End the output; see `Channel.send_eof`. A stream that cannot half-close ends with `aclose`."""
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            with trio.move_on_after(self._limits.write_timeout), _translated():
                return await self._stream.send_eof()
            raise TooSlow("write_timeout")  # TLS has something to say at the end
        return None

    async def converse(self, session: Session) -> None:
        """Run a conversation; see `Channel.converse`."""
        await self._say(session.open())
        await self.resume(session)

    async def resume(self, session: Session) -> None:
        """Go on with a conversation; see `Channel.resume`."""
        line, begun = 0, trio.current_time()
        receive = partial(self.receive_some, min(READ_SIZE, session.max_chunk))
        while not session.closing:
            if session.unfinished != line:
                line, begun = session.unfinished, trio.current_time()
            try:
                data = await self._drain.receive(receive, self._waits(session, begun))
            except TooSlow as error:
                if error.limit != "prompt_delay":
                    raise
                await self._say(session.silence())
            else:
                if data is None:
                    return
                found = trio.current_time()
                reply = session.receive(data) if data else session.end_of_input()
                self._stats.served(1, trio.current_time() - found)
                await self._say(reply)

    async def close_gracefully(self) -> None:
        """End the output and let the client go; see `Channel.close_gracefully`."""
        await self.send_eof()
        with trio.move_on_after(self._limits.linger_timeout):
            while isinstance(self._stream, trio.abc.HalfCloseableStream) and await self.receive_some():
                pass

    async def aclose(self) -> None:
        """Close the stream."""
        await trio.aclose_forcefully(self._stream)

    def _waits(self, session: Session, begun: float) -> list[tuple[float, str]]:
        """Return how long the next read may take, by each of the limits that apply."""
        limits = self._limits
        waits = [(limits.idle_timeout, "idle_timeout")]
        if session.unfinished:
            waits.append((begun + limits.line_timeout - trio.current_time(), "line_timeout"))
        if session.awaits_silence:
            waits.append((limits.prompt_delay, "prompt_delay"))
        return waits

    async def _say(self, reply: bytes) -> None:
        if reply:
            await self.send_all(reply)


@contextmanager
def _translated() -> Iterator[None]:
    """Tell of a lost connection in our own words."""
    try:
        yield
    except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
        raise ConnectionLost from error
