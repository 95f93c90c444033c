"""The five-line server: greet, then answer each line with its capitals."""

from __future__ import annotations

import sys

import caas_trio


async def handler(connection: caas_trio.Connection) -> None:
    """Serve one client."""
    await connection.send(b"Enter some data to be capitalized:\n")
    async for line in connection:
        await connection.send(line.upper())


if __name__ == "__main__":
    caas_trio.run(handler, *sys.argv[1:])
