"""CaaS by an async handler over `caas_trio.serve`, as its users write it."""

import sys

import trio

import caas_trio


async def handler(connection: caas_trio.Connection) -> None:
    """Answer each line of one connection."""
    async for line in connection:
        await connection.send(line.upper())


async def main(endpoint: str) -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:
        [bound] = await nursery.start(caas_trio.serve, handler, endpoint)
        print(f"listening on {bound}", flush=True)


trio.run(main, sys.argv[1])
