"""Tornado's `IOStream.read_until`, with a limit of 65536 bytes; without one it has none."""

from __future__ import annotations

import asyncio

from tornado.iostream import PipeIOStream, StreamClosedError, UnsatisfiableReadError

from ci.framers.programs import shim


async def main() -> None:
    """Report what comes."""
    stream = PipeIOStream(0)
    while True:
        try:
            shim.line((await stream.read_until(b"\n", max_bytes=65536)).removesuffix(b"\n"))
        except StreamClosedError as error:
            # A line that is too long closes the stream.
            if isinstance(error.real_error, UnsatisfiableReadError):
                shim.error(error.real_error)
            shim.end()


asyncio.run(main())
