"""The attacks of bad clients, one kind each: `ATTACKS`."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from .place import Place, reset

#: The length of a line without end, as a multiple of the bytes that may be held.
_FLOOD: Final = 4

#: The size of the smallest object that a server might keep for each line (bytes): enough lines are sent for
#: one object each to be too much.
_OBJECT: Final = 40

#: The factor by which a client that does not read sends more, so that its replies fill all buffers.
_UNREAD: Final = 4

#: Long enough for a server to have read what was sent (seconds): nothing takes time on the network.
_TURN_S: Final = 0.001

#: How much is sent at a time by a client that floods, and how many clients come at once.
_PIECE: Final = 8192
_CROWD: Final = 30

#: The seconds in which a slow client reads, or sends, one byte.
_SLOW_S: Final = 0.25

#: The pattern of a line without end.
_ENDLESS: Final = b"x"

#: The size of each piece of garbage (bytes).
_GARBAGE: Final = (1, 2, 10, 100, 1000, 20000)


class Attacker:
    """A bad client.

    Attributes:
        data: what a good client would send.
        choices: the source of random choices.
    """

    def __init__(self, place: Place, data: bytes, choices: random.Random, max_memory: int) -> None:
        self.data = data
        self.choices = choices
        self._max_memory = max_memory
        self._place = place

    @property
    def begun(self) -> bytes:
        """The first half of what a good client would send."""
        return self.data[: (len(self.data) + 1) // 2]

    async def open(self) -> trio.SocketStream:
        """Return a new connection."""
        return await self._place.open_stream(client="attacker")

    async def send_flood(self, stream: trio.SocketStream, text: bytes, times: int = 1) -> None:
        """Send a text until a server that keeps it, or an object for each, keeps too much."""
        piece = text * -(-_PIECE // len(text))
        enough = _FLOOD * self._max_memory
        if text != _ENDLESS:
            enough = min(enough, times * self._max_memory // _OBJECT * len(text))
        sent = 0
        with suppress(trio.BrokenResourceError):
            while sent < enough:
                await stream.send_all(piece)
                sent += len(piece)
                await trio.sleep(_TURN_S)
                self._place.network.trace.clear()  # it would hold all that was ever sent


async def _read_to_end(stream: trio.SocketStream) -> None:
    with suppress(trio.BrokenResourceError):
        async for _ in stream:
            pass


async def _reset_at_once(attacker: Attacker) -> None:
    reset(await attacker.open())


async def _reset_in_the_middle(attacker: Attacker) -> None:
    stream = await attacker.open()
    await stream.send_all(attacker.begun)
    await trio.sleep(_TURN_S)
    reset(stream)


async def _reset_before_the_reply(attacker: Attacker) -> None:
    stream = await attacker.open()
    await stream.send_all(attacker.data * 10)
    reset(stream)


async def _reset_with_unread_replies(attacker: Attacker) -> None:
    stream = await attacker.open()
    await stream.send_all(attacker.data * 10)
    await trio.sleep(_TURN_S)
    reset(stream)


async def _half_close_at_once(attacker: Attacker) -> None:
    stream = await attacker.open()
    await stream.send_eof()
    await _read_to_end(stream)


async def _half_close_in_the_middle(attacker: Attacker) -> None:
    stream = await attacker.open()
    await stream.send_all(attacker.begun)
    await stream.send_eof()
    await _read_to_end(stream)


async def _silence(attacker: Attacker) -> None:
    await attacker.open()


async def _silence_in_the_middle(attacker: Attacker) -> None:
    await (await attacker.open()).send_all(attacker.begun)


async def _slow_sender(attacker: Attacker) -> None:
    stream = await attacker.open()
    with suppress(trio.BrokenResourceError):
        for number in range(len(attacker.data)):
            await stream.send_all(attacker.data[number : number + 1])
            await trio.sleep(_SLOW_S)


async def _never_reads(attacker: Attacker) -> None:
    await attacker.send_flood(await attacker.open(), attacker.data, _UNREAD)


async def _slow_reader(attacker: Attacker) -> None:
    stream = await attacker.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attacker.send_flood, stream, attacker.data, _UNREAD)
        with suppress(trio.BrokenResourceError):
            while await stream.receive_some(1):  # noqa: ASYNC110 - it is to be slow
                await trio.sleep(_SLOW_S)


async def _endless_line(attacker: Attacker) -> None:
    stream = await attacker.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attacker.send_flood, stream, _ENDLESS)
        nursery.start_soon(_read_to_end, stream)


async def _endless_conversation(attacker: Attacker) -> None:
    stream = await attacker.open()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(attacker.send_flood, stream, attacker.data)
        nursery.start_soon(_read_to_end, stream)


async def _garbage(attacker: Attacker) -> None:
    for size in _GARBAGE:
        for end in (b"", b"\n", b"\r\n"):
            stream = await attacker.open()
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_read_to_end, stream)
                with suppress(trio.BrokenResourceError):
                    await stream.send_all(attacker.choices.randbytes(size) + end)
                    await trio.sleep(_TURN_S)
                    await stream.send_eof()


async def _damaged_data(attacker: Attacker) -> None:
    for _ in range(20):
        damaged = bytearray(attacker.data)
        for _ in range(attacker.choices.randint(1, 3)):
            place = attacker.choices.randrange(len(damaged) + 1)
            damaged[place : place + attacker.choices.randint(0, 2)] = attacker.choices.randbytes(1)
        stream = await attacker.open()
        with suppress(trio.BrokenResourceError):
            await stream.send_all(damaged)
            await stream.send_eof()
        await _read_to_end(stream)


async def _crowd(attacker: Attacker) -> None:
    streams = [await attacker.open() for _ in range(_CROWD)]
    for stream in streams:
        with suppress(trio.BrokenResourceError):
            await stream.send_all(attacker.begun)
    await trio.sleep(_TURN_S)
    for stream in streams:
        reset(stream)


#: Each attack, by what a message says of it: "while ...".
ATTACKS: Final[dict[str, Callable[[Attacker], Awaitable[None]]]] = {
    "a client resets at once": _reset_at_once,
    "a client resets in the middle": _reset_in_the_middle,
    "a client resets before the reply": _reset_before_the_reply,
    "a client resets with replies unread": _reset_with_unread_replies,
    "a client ends its output at once": _half_close_at_once,
    "a client ends its output in the middle": _half_close_in_the_middle,
    "a client is silent": _silence,
    "a client is silent in the middle": _silence_in_the_middle,
    "a client sends slowly": _slow_sender,
    "a client never reads": _never_reads,
    "a client reads slowly": _slow_reader,
    "a client sends a line without end": _endless_line,
    "a client sends without end": _endless_conversation,
    "a client sends garbage": _garbage,
    "a client sends damaged data": _damaged_data,
    "many clients come at once": _crowd,
}
