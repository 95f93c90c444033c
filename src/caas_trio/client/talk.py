"""Two streams of bytes, each at its own pace: `talk`, between standard streams and a connection."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import trio

from caas_trio.core.errors import CaasError
from caas_trio.drivers.connection import Connection

from .display import LineEnds, Screen

_READ_SIZE = 65536


class StreamError(CaasError):
    """A standard stream cannot be used.

    Attributes:
        stream: which one.
        reason: why not.
    """

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(stream, reason)
        self.stream = stream
        self.reason = reason

    def __str__(self) -> str:
        return f"{self.stream}: {self.reason}"


class StandardStreams:
    """Standard input and output, which may be terminals, pipes or files.

    Threads read and write them, since no poll works for all of these. One that is left behind waiting for
    a terminal ends with the process.

    Args:
        input_fd: the descriptor that is read.
        output_fd: the descriptor that is written. If it is a terminal, what a server sends is shown by
            `Screen`; otherwise it is written as it is.
        crlf: whether the input is sent with CR LF for LF.
    """

    def __init__(self, input_fd: int = 0, output_fd: int = 1, *, crlf: bool = False) -> None:
        self._input_fd = input_fd
        self._output_fd = output_fd
        self._convert = LineEnds().convert if crlf else bytes
        self._screen = Screen() if os.isatty(output_fd) else None

    async def read(self) -> bytes:
        """Return what one read gives; b"" at the end.

        Raises:
            StreamError: it cannot be read.
        """
        data: bytes = await self._in_thread("standard input", os.read, self._input_fd, _READ_SIZE)
        return self._convert(data)

    async def write(self, data: bytes) -> None:
        """Write all of what a server has sent; b"" for its end.

        Raises:
            StreamError: it cannot be written.
        """
        if self._screen is not None:
            encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
            data = self._screen.show(data).encode(encoding, "backslashreplace")
        await self._in_thread("standard output", _write_all, self._output_fd, data)

    async def _in_thread(self, stream: str, call: Callable[..., bytes | None], *arguments: object) -> bytes:
        try:
            return await trio.to_thread.run_sync(call, *arguments, abandon_on_cancel=True) or b""
        except OSError as error:
            raise StreamError(stream, (error.strerror or str(error)).lower()) from error


def _write_all(fd: int, data: bytes) -> None:
    while data:
        data = data[os.write(fd, data) :]


async def talk(connection: Connection, streams: StandardStreams) -> None:
    """Send the input and write what comes, side by side, until the server has ended its output.

    At the end of the input the output of the connection is ended.

    Raises:
        PeerError: as the calls of a connection do.
        StreamError: a standard stream cannot be used.
    """

    async def send_input() -> None:
        while data := await streams.read():
            await connection.send(data)
        await connection.send_eof()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_input)
        while data := await connection.receive_some(_READ_SIZE):
            await streams.write(data)
        await streams.write(b"")
        nursery.cancel_scope.cancel()
