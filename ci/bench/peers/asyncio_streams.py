"""CaaS by asyncio streams; the second argument names the loop."""

import asyncio
import socket
import sys
from functools import partial

from ci.bench.peers.listen import announce, listener, secured
from ci.bench.peers.loops import run

LONGEST = 1 << 24  # asyncio's own 64 KiB would fail on the works with long lines


async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each line of one connection."""
    while line := await reader.readline():
        writer.write(line.upper())
        await writer.drain()
    writer.close()


async def main(endpoint: str) -> None:
    """Serve until killed."""
    sock = listener(endpoint)
    start = asyncio.start_unix_server if sock.family == socket.AF_UNIX else asyncio.start_server
    server = await start(handler, sock=sock, limit=LONGEST, backlog=4096, ssl=secured(endpoint))
    announce(sock, endpoint.partition(":")[0])
    await server.serve_forever()


run(partial(main, sys.argv[1]), *sys.argv[2:])
