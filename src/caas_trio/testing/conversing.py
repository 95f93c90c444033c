"""A client's conversation, sent in pieces: `converse`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final, NamedTuple

import trio

from .place import Place, reset

#: After this many seconds without a byte, a client stops waiting for one.
SILENCE_S: Final = 30.0

#: How a conversation ends in which the server should have spoken first, and has not.
WORDLESS: Final = "no word"

#: A client that reads last begins to read if it could not send all within this many seconds: the buffers are
#: full, and the server waits for it.
_LATE_S: Final = 1.0


class Reply(NamedTuple):
    """The bytes that a client got, and how they ended.

    Attributes:
        data: the bytes.
        end: what came behind them, as text.
    """

    data: bytes
    end: str


class Manner(NamedTuple):
    """How a client converses.

    Attributes:
        delay: how many seconds lie between two pieces, so that the server has read the one before.
        reads_last: whether it begins to read once all is sent, and not as it goes.
        listens_first: whether it sends nothing before the server has spoken.
        resets: whether it resets the connection behind the last piece, in place of ending its output.
    """

    delay: float = 0.001
    reads_last: bool = False
    listens_first: bool = False
    resets: bool = False


async def converse(place: Place, pieces: Sequence[bytes], manner: Manner) -> Reply:
    """Send pieces in a conversation of their own, and return the reply, however it ended."""
    received = bytearray()
    stream = await place.open_stream()
    sent = trio.Event()

    async def speak() -> None:
        with suppress(trio.BrokenResourceError):
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(manner.delay)
            if manner.resets:
                reset(stream)
            else:
                await stream.send_eof()
        sent.set()

    async with stream, trio.open_nursery() as nursery:
        if manner.listens_first:
            with trio.move_on_after(SILENCE_S), suppress(trio.BrokenResourceError):
                received += await stream.receive_some()
            if not received:
                return Reply(b"", WORDLESS)
        nursery.start_soon(speak)
        if manner.reads_last:
            with trio.move_on_after(_LATE_S + len(pieces) * manner.delay):
                await sent.wait()
        end = await _read(stream, received)
        nursery.cancel_scope.cancel()
    return Reply(bytes(received), end)


async def _read(stream: trio.SocketStream, received: bytearray) -> str:
    """Read until nothing more comes; return why that is."""
    try:
        while True:
            with trio.move_on_after(SILENCE_S) as waiting:
                chunk = await stream.receive_some()
            if waiting.cancelled_caught:
                return f"nothing more within {SILENCE_S:g} seconds"
            if not chunk:
                return "the end"
            received += chunk
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        return "a reset"
