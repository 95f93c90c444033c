"""asyncio's `StreamReader.readuntil`, with the limit that it has by itself."""

from __future__ import annotations

import asyncio
import os

from ci.framers.programs import shim


async def main() -> None:
    """Report what comes."""
    reader = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(0, "rb"))
    while True:
        try:
            shim.line((await reader.readuntil(b"\n")).removesuffix(b"\n"))
        except asyncio.IncompleteReadError as error:
            shim.end(error.partial)
        except asyncio.LimitOverrunError as error:
            # What is buffered stays there: a caller can only give up, or take it off by hand.
            shim.error(error)
            shim.end()


asyncio.run(main())
