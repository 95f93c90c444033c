"""anyio's `BufferedByteReceiveStream.receive_until`, with a limit of 65536 bytes: it wants one."""

from __future__ import annotations

import os

import anyio
import anyio.to_thread
from anyio.streams.buffered import BufferedByteReceiveStream

from ci.framers.programs import shim


class Input(anyio.abc.ByteReceiveStream):
    """Standard input."""

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what one read gives."""
        data = await anyio.to_thread.run_sync(os.read, 0, max_bytes)
        if not data:
            raise anyio.EndOfStream
        return data

    async def aclose(self) -> None:
        """Leave it open."""


async def main() -> None:
    """Report what comes."""
    stream = BufferedByteReceiveStream(Input())
    while True:
        try:
            shim.line(await stream.receive_until(b"\n", 65536))
        except anyio.IncompleteRead:
            shim.end(stream.buffer)
        except anyio.DelimiterNotFound as error:
            # What is buffered stays there.
            shim.error(error)
            shim.end()


anyio.run(main)
