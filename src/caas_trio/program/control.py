"""One end of the socket pair between a supervisor and a worker: `Control`; see `messages`."""

from __future__ import annotations

import socket
from contextlib import suppress
from typing import Final

import trio

from .messages import MAX_CONFIG_BYTES, ControlLines

#: How much is read at a time.
_CHUNK_BYTES: Final = 4096


class Control:
    """Sends and receives the lines of the control protocol.

    Args:
        sock: a stream socket; `close` closes it. No process that this one starts inherits it.
        max_bytes: the longest line to receive.
        pause_s: how many seconds lie between two reads at least, so that a flood of lines costs little.
    """

    def __init__(
        self, sock: socket.socket, max_bytes: int = MAX_CONFIG_BYTES, *, pause_s: float = 0.0
    ) -> None:
        sock.set_inheritable(False)
        self._sock = sock
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._lines = ControlLines(max_bytes)
        self._pause_s = pause_s
        self._next_read = -float("inf")

    def send_nowait(self, line: str) -> None:
        """Send a short line; it is lost if there is no room for it, or the other end is gone."""
        with suppress(OSError):
            self._sock.send(f"{line}\n".encode())

    async def send(self, line: str) -> None:
        """Send a line of any length; it is lost if the other end is gone."""
        with suppress(trio.BrokenResourceError):
            await self._stream.send_all(f"{line}\n".encode())

    async def next_line(self) -> str | None:
        """Return the next line, without its LF; None if the other end is gone.

        Raises:
            ControlError: the line is too long, or not UTF-8.
        """
        while (line := self._lines.next_line()) is None:
            await trio.sleep_until(self._next_read)
            try:
                chunk = await self._stream.receive_some(_CHUNK_BYTES)
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self._next_read = trio.current_time() + self._pause_s
            self._lines.feed(chunk)
        return line

    def close(self) -> None:
        """Close the socket."""
        self._stream.socket.close()
