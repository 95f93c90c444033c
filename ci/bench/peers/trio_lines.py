"""CaaS by plain trio, as one writes it by hand: receive, take each line, answer it."""

import sys

import trio

from ci.bench.peers.listen import announce, listener


async def handler(stream: trio.SocketStream) -> None:
    """Answer each line of one connection."""
    buffer = bytearray()
    async with stream:
        async for chunk in stream:
            searched = len(buffer)
            buffer += chunk
            while (end := buffer.find(b"\n", searched) + 1) > 0:
                line = bytes(buffer[:end])
                del buffer[:end]
                searched = 0
                await stream.send_all(line.upper())


async def main(endpoint: str) -> None:
    """Serve until killed."""
    sock = listener(endpoint)
    accepting = trio.SocketListener(trio.socket.from_stdlib_socket(sock))
    announce(sock)
    await trio.serve_listeners(handler, [accepting])


trio.run(main, sys.argv[1])
