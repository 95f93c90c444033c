"""Request handlers with `rfile` and `wfile`, in the shape of `socketserver`'s."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable
from typing import Final

from caas_trio.core.datagramrules import Datagram
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.peer import InternetPeer, Peer

from .connection import Connection

#: A size that means "no size", as in the io module.
_ALL: Final = -1

#: How much is read at a time.
_READ_SIZE: Final = 65536


class Reader:
    """The input of a connection, with the methods of a binary file, but async.

    Its reads raise `PeerError`s, as those of `Connection` do.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def readline(self, size: int | None = _ALL) -> bytes:
        """Return the next line, its LF included, or the first `size` bytes of it; b"" at the end.

        b"" as well if `size` is 0, as in the io module.

        Raises:
            LineTooLong: no size is given, and the line has more than `max_line` bytes. With the
                stdlib it would fill the memory.
        """
        if size is None or size < 0:
            return await self._connection.receive_line()
        return await self._connection.receive_line_piece(size) if size else b""

    async def read(self, size: int | None = _ALL) -> bytes:
        """Return `size` bytes, fewer only at the end of the input; without a size all there are."""
        parts: list[bytes] = []
        left = math.inf if size is None or size < 0 else size
        while left and (part := await self._connection.receive_some(int(min(left, _READ_SIZE)))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)

    async def readlines(self, hint: int | None = _ALL) -> list[bytes]:
        """Return the lines that are left, or as many as have `hint` bytes in sum."""
        lines: list[bytes] = []
        total = 0
        while line := await self.readline():
            lines.append(line)
            total += len(line)
            if hint is not None and 0 < hint <= total:
                break
        return lines

    def __aiter__(self) -> Reader:
        return self

    async def __anext__(self) -> bytes:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line


class Writer:
    """The output of a connection, with the methods of a binary file, but async."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def write(self, data: bytes) -> int:
        """Send all of `data` and return its length; raises as `Connection.send` does."""
        await self._connection.send(data)
        return len(data)

    async def writelines(self, lines: Iterable[bytes]) -> None:
        """Send all the lines, whose terminators are included."""
        await self._connection.send(b"".join(lines))

    async def flush(self) -> None:
        """Return once the kernel has all that was written; raises as `Connection.send` does."""
        await self._connection.flush()


class ServerInfo:
    """The server, as far as a handler may know it.

    Attributes:
        endpoint: where the connection came in.
        server_address: the same in the form of `socketserver`: host and port, or a path.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.server_address: tuple[str, int] | str = endpoint.path or (endpoint.host, endpoint.port)


class _RequestHandler:
    """The three steps of a handler."""

    async def setup(self) -> None:
        """Prepare; does nothing by default."""

    async def handle(self) -> None:
        """Serve the connection or the datagram; does nothing by default."""

    async def finish(self) -> None:
        """Clean up; does nothing by default."""

    async def _steps(self) -> None:
        await self.setup()
        try:
            await self.handle()
        finally:
            await self.finish()


class StreamRequestHandler(_RequestHandler):
    """A handler in the shape of `socketserver.StreamRequestHandler`, for `serve`.

    Override `handle`, and `setup` or `finish` where needed; all three are async. `finish` is called
    after `handle` whatever it raised, if `setup` has succeeded.

    Attributes:
        request: the `Connection`; also as `connection`.
        client_address: host and port of the client; "" on a Unix socket, as in the stdlib.
        server: see `ServerInfo`.
        rfile: the input; see `Reader`.
        wfile: the output; see `Writer`.
    """

    def __init__(self, connection: Connection) -> None:
        self.request = self.connection = connection
        self.client_address = address_of(connection.peer)
        self.server = ServerInfo(connection.endpoint)
        self.rfile = Reader(connection)
        self.wfile = Writer(connection)

    async def run(self) -> None:
        """Call `setup`, `handle` and `finish`, as the stdlib's constructor does."""
        await self._steps()


class PacketReader:
    """A datagram, with the methods of a binary file, but async."""

    def __init__(self, packet: bytes) -> None:
        self._file = io.BytesIO(packet)

    async def readline(self, size: int | None = _ALL) -> bytes:
        """Return the next line, its LF included, or the first `size` bytes of it; b"" at the end."""
        return self._file.readline(size)

    async def read(self, size: int | None = _ALL) -> bytes:
        """Return what is left, or `size` bytes of it."""
        return self._file.read(size)

    async def readlines(self, hint: int | None = _ALL) -> list[bytes]:
        """Return the lines that are left, or as many as have `hint` bytes in sum."""
        return self._file.readlines(hint)

    def __aiter__(self) -> PacketReader:
        return self

    async def __anext__(self) -> bytes:
        line = self._file.readline()
        if not line:
            raise StopAsyncIteration
        return line


class PacketWriter:
    """The reply to a datagram, with the methods of a binary file; it is sent when the handler has returned.

    Attributes:
        reply: what was written; None if nothing ever was, not even b"".
    """

    def __init__(self) -> None:
        self.reply: bytearray | None = None

    async def write(self, data: bytes) -> int:
        """Add all of `data` to the reply and return its length."""
        if self.reply is None:
            self.reply = bytearray()
        self.reply += data
        return len(data)

    async def writelines(self, lines: Iterable[bytes]) -> None:
        """Add all the lines, whose terminators are included."""
        await self.write(b"".join(lines))

    async def flush(self) -> None:
        """Do nothing: the one datagram is sent at the end."""


class DatagramRequestHandler(_RequestHandler):
    """A handler in the shape of `socketserver.DatagramRequestHandler`, for `serve_datagrams`.

    Override `handle`, and `setup` or `finish` where needed; all three are async. What was written to
    `wfile` by then is sent as one datagram once `finish` has returned; if nothing was written, none
    is. What one of them raises costs that reply and nothing else.

    Attributes:
        packet: the datagram.
        client_address: host and port of the sender; on a Unix socket its path, or None if it has none.
        peer: the same for the internet; on a Unix socket the process that sent it, where the kernel
            reports it.
        server: see `ServerInfo`.
        rfile: the datagram to read from; see `PacketReader`.
        wfile: the reply to write to; see `PacketWriter`.
    """

    def __init__(self, datagram: Datagram, endpoint: Endpoint) -> None:
        self.packet = datagram.data
        self.peer = datagram.peer
        self.client_address = address_of(self.peer) or datagram.address
        self.server = ServerInfo(endpoint)
        self.rfile = PacketReader(self.packet)
        self.wfile = PacketWriter()

    async def run(self) -> bytes | None:
        """Call `setup`, `handle` and `finish`; return the reply, None for none."""
        await self._steps()
        reply = self.wfile.reply
        return None if reply is None else bytes(reply)


def address_of(peer: Peer) -> tuple[str, int] | str:
    """Return a peer's address in the form of the stdlib: host and port; "" on a Unix socket."""
    return (peer.host, peer.port) if isinstance(peer, InternetPeer) else ""
