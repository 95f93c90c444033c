"""CaaS by an async handler over `caas_trio.serve`, as its users write it."""

import sys
from functools import partial

import trio

import caas_trio
from ci.bench.peers.listen import secured


async def handler(connection: caas_trio.Connection) -> None:
    """Answer each line of one connection."""
    async for line in connection:
        await connection.send(line.upper())


async def main(endpoint: str) -> None:
    """Serve until killed."""
    async with trio.open_nursery() as nursery:
        trust = caas_trio.Trust(tls=secured(endpoint))
        [bound] = await nursery.start(partial(caas_trio.serve, handler, endpoint, trust=trust))
        print(f"listening on {bound}", flush=True)


trio.run(main, sys.argv[1])
