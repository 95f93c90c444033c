"""Clients on trio's streams."""

from __future__ import annotations

import socket
import struct

import trio

from caas_trio import Endpoint


async def connect(endpoint: Endpoint) -> trio.SocketStream:
    """Return a connection to a server; the caller closes it."""
    if endpoint.path:
        return await trio.open_unix_socket(endpoint.path)
    return await trio.open_tcp_stream(endpoint.host, endpoint.port)


async def receive(client: trio.abc.ReceiveStream, expected: bytes) -> None:
    """Receive exactly what is expected, however it is cut."""
    received = b""
    while len(received) < len(expected):
        chunk = await client.receive_some(len(expected) - len(received))
        assert chunk, f"the stream ended after {received!r}"
        received += chunk
    assert received == expected


async def ask(client: trio.SocketStream, line: bytes, reply: bytes) -> None:
    """Send a line, and receive exactly its reply."""
    await client.send_all(line)
    await receive(client, reply)


async def receive_all(client: trio.abc.ReceiveStream) -> bytes:
    """Return what comes up to the end of the stream."""
    return b"".join([chunk async for chunk in client])


async def talk(client: trio.abc.HalfCloseableStream, *pieces: bytes) -> bytes:
    """Send the pieces, end the output, return all that comes, and close."""
    async with client:
        for piece in pieces:
            await client.send_all(piece)
        await client.send_eof()
        return await receive_all(client)


def reset(client: socket.socket | trio.SocketStream) -> None:
    """Close so that the kernel sends a reset; not a checkpoint."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    (client.socket if isinstance(client, trio.SocketStream) else client).close()
