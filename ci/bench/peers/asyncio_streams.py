"""CaaS by asyncio streams; with `uvloop` as the second argument, on uvloop."""

import asyncio
import socket
import sys

from ci.bench.peers.listen import announce, listener, secured

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


if sys.argv[2:] == ["uvloop"]:
    import uvloop

    uvloop.run(main(sys.argv[1]))
else:
    asyncio.run(main(sys.argv[1]))
