"""CaaS by an asyncio Protocol; the second argument names the loop; `unframed`: without looking for lines.

With lines it is a line server: each line is answered by itself, and the replies to all lines of a read leave
in one write. Without (`bytes.upper` works on any piece of a line) it is as lean as a Protocol can be. Either
way a client that does not read its replies is not read from.
"""

import asyncio
import socket
import sys
from functools import partial
from typing import cast

from ci.bench.peers.listen import announce, listener, secured
from ci.bench.peers.loops import run


class Unframed(asyncio.Protocol):
    """One connection; whatever comes is answered at once."""

    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(
            "asyncio.Transport", transport
        )  # what a server always gets; uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        """Answer."""
        self.transport.write(data.upper())

    def pause_writing(self) -> None:
        """Read no more until the replies have been taken."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """Read on."""
        self.transport.resume_reading()


class Lines(Unframed):
    """One connection; each complete line is answered, and the last one at end of input."""

    def __init__(self) -> None:
        self.begun = bytearray()  # a line that is not complete yet

    def data_received(self, data: bytes) -> None:
        """Answer the lines that are complete now."""
        self.begun += data
        if b"\n" in data:
            *lines, self.begun = self.begun.split(b"\n")
            self.transport.write(b"".join([line.upper() + b"\n" for line in lines]))

    def eof_received(self) -> None:
        """Answer what is left."""
        if self.begun:
            self.transport.write(self.begun.upper())


class EndingLines(Lines):
    """For rloop, which reports a connection as closed and leaves its socket open: end the output at least."""

    def eof_received(self) -> None:
        """Answer what is left, and end."""
        super().eof_received()
        self.transport.write_eof()


async def main(endpoint: str, protocol: type[Unframed]) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    sock = listener(endpoint)
    create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
    # A copy, since rloop takes the socket away; and started once, since the second time it closes the socket.
    server = await create(protocol, sock=sock.dup(), backlog=4096, ssl=secured(endpoint), start_serving=False)
    announce(sock, endpoint.partition(":")[0])
    await server.serve_forever()


endpoint, *options = sys.argv[1:]
kind = Unframed if "unframed" in options else EndingLines if "rloop" in options else Lines
run(partial(main, endpoint, kind), *options[:1])
