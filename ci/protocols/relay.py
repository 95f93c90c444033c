"""A relay that cuts what clients send: the server behind it reads one byte at a time."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import trio

#: How long the next look is put off while the server has not read a byte yet.
_LOOK_DELAY_S: Final = 0.00002
#: What a connection raises that was reset.
_RESET: Final = (OSError, trio.BrokenResourceError)


@asynccontextmanager
async def cutting(path: str) -> AsyncIterator[int]:
    """Relay to the server at the Unix socket `path`; yield the TCP port on 127.0.0.1 for its clients.

    A byte is sent once the server has read the one before, so each of its reads gets one. What the server
    sends passes as it comes, and either end of the stream is passed on.
    """

    async def relay(client: trio.SocketStream) -> None:
        with trio.socket.socket(socket.AF_UNIX) as server:
            await server.connect(path)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_pass_replies, server, client)
                await _cut(client, server)

    async with trio.open_nursery() as nursery:
        serve = partial(trio.serve_tcp, relay, 0, host="127.0.0.1")
        [listener] = await nursery.start(serve)
        yield listener.socket.getsockname()[1]
        nursery.cancel_scope.cancel()


async def _cut(client: trio.SocketStream, server: trio.socket.SocketType) -> None:
    """Send what the client sends byte by byte, then its end."""
    with suppress(*_RESET):
        async for data in client:
            for value in data:
                await server.send(bytes([value]))
                while _unread(server):  # noqa: ASYNC110 - the kernel has no event for it
                    await trio.sleep(_LOOK_DELAY_S)
    with suppress(*_RESET):
        server.shutdown(socket.SHUT_WR)


async def _pass_replies(server: trio.socket.SocketType, client: trio.SocketStream) -> None:
    """Send what the server sends, then its end."""
    with suppress(*_RESET):
        while data := await server.recv(65536):
            await client.send_all(data)
        await client.send_eof()


def _unread(sock: trio.socket.SocketType) -> int:
    """Return what the other end of a Unix socket has not read yet, in bytes of the kernel's memory."""
    [size] = struct.unpack("i", fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, b"\0" * 4))
    return int(size)
