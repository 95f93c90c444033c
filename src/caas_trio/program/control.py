"""What a supervisor and its workers say to each other: lines of text, over a socket pair for each.

    supervisor   the order, in JSON; then, some day, one after the other:
                 retire    accept no more, let connections end by themselves for a while, then stop
                 stop      accept no more, drain, and exit
                 handover  the same, but a successor has the paths
                 cut       exit at once
    worker       ready, alive (as often as the order says), or: failed REASON

The end of the input says that the other one is gone.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any, Final

import trio

from caas_trio.core.framing import LineBuffer

#: The longest line, in bytes: an order may hold a long command line, and a long file.
_MOST: Final = 1 << 24


@dataclass(frozen=True, kw_only=True)
class SharedSocket:
    """A listener, as it is described to another process.

    Attributes:
        asked: the endpoint that was asked for, as text.
        endpoint: where it is.
        descriptors: of its sockets.
    """

    asked: str
    endpoint: str
    descriptors: Sequence[int]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a worker is to do.

    Attributes:
        arguments: the command line.
        config: what the file of settings says.
        sockets: what to serve.
        slot: a number that no other worker has at the time.
        watchdog_interval: how many seconds may lie between two signs of life; `math.inf` if none are wanted.
        figures: the folder that figures are shared in; None if nobody wants them.
    """

    arguments: Sequence[str]
    config: Mapping[str, Any]
    sockets: Sequence[SharedSocket]
    slot: int
    watchdog_interval: float
    figures: str | None

    def line(self) -> str:
        """Return it as a line, without the LF."""
        return json.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: str) -> Order:
        """Return what `line` returned."""
        fields = json.loads(line)
        return cls(**{**fields, "sockets": [SharedSocket(**each) for each in fields["sockets"]]})


class Control:
    """One end of the socket pair; who has it closes it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._stream = trio.SocketStream(trio.socket.from_stdlib_socket(sock))
        self._buffer = LineBuffer(_MOST)

    def say(self, line: str) -> None:
        """Say a short line at once; what cannot be said is lost."""
        with suppress(OSError):
            self._sock.send(f"{line}\n".encode())

    async def send(self, line: str) -> None:
        """Say a line of any length; what nobody listens to is lost."""
        with suppress(trio.BrokenResourceError):
            await self._stream.send_all(f"{line}\n".encode())

    async def next_line(self) -> str | None:
        """Return what the other one says next; None if it is gone."""
        while (line := self._buffer.next_line()) is None:
            try:
                chunk = await self._stream.receive_some()
            except trio.BrokenResourceError:
                return None
            if not chunk:
                return None
            self._buffer.feed(chunk)
        return line.decode().rstrip("\n")

    def close(self) -> None:
        """Hang up."""
        self._stream.socket.close()
