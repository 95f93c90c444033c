"""The handler class of the classic tutorial: prompt, read a line, answer it, be done."""

from __future__ import annotations

import sys

import caas_trio


class CaaSHandler(caas_trio.StreamRequestHandler):
    """Capitalization as a service, in the words of `socketserver`."""

    async def handle(self) -> None:
        """Serve one client."""
        await self.wfile.write(b"Enter some data to be capitalized:\n")
        data = await self.rfile.readline()
        await self.wfile.write(data.upper())


if __name__ == "__main__":
    caas_trio.run(CaaSHandler, *sys.argv[1:])
