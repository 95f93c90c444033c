"""A client of a simulated service, which knows what it is owed: `Client`."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress
from typing import Final

import trio

from caas_trio import First
from caas_trio.testing import Network

from .scenario import PORT, PROMPT, Scenario, require

_REFUSAL: Final = b"error: too many connections\n"

#: What a client may do; the more common ones more often.
_SORTS: Final = ("good", "good", "good", "stepwise", "slow reader", "deaf", "silent", "leaver", "resetter")

#: What it is that a client sends: pieces of lines, and pauses between them.
_PIECES: Final = (
    b"a",
    b"line",
    b"\n",
    b"\n",
    b"\r\n",
    b"b\n",
    b"x" * 120,
    b"\n\n",
    b"\xff\x00",
    b"one\ntwo\n",
)

#: How long a client waits for what it is owed, in simulated seconds.
_PATIENCE_S: Final = 1000


class Client:
    """One client.

    Attributes:
        sort: what it does.
        sent: what it has sent.
        received: what it has received.
        eof: whether the server has ended its output.
        reset: whether the connection was reset.
    """

    def __init__(self, scenario: Scenario, network: Network, number: int) -> None:
        self._scenario = scenario
        self._network = network
        self._choices = network.random(f"client/{number}")
        self._host = network.host(f"client{number}")
        self._host.set_buffers(receive=scenario.buffer)
        self.sort = self._choices.choice(_SORTS)
        self.sent = b""
        self.ended = False
        self.connected = False
        self.received = b""
        self.eof = False
        self.reset = False
        self.ended_at = 0.0

    async def run(self) -> None:
        """Talk to the server."""
        await trio.sleep(self._choices.choice((0.0, self._choices.uniform(0, 1))))
        try:
            stream = await self._host.open_tcp("server", PORT)
        except OSError:  # it has stopped
            return
        self.connected = True
        async with stream:
            try:
                with trio.move_on_after(_PATIENCE_S):
                    await self._talk(stream)
            except* trio.BrokenResourceError:
                self.reset = True
            if self.sort == "resetter":
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.ended_at = trio.current_time()

    async def _talk(self, stream: trio.SocketStream) -> None:
        if self.sort in {"leaver", "resetter"}:
            with trio.move_on_after(self._choices.uniform(0, 2)):
                await self._speak_and_listen(stream)
        elif self.sort == "silent":
            await self._read(stream)
        elif self.sort == "deaf":
            await self._speak(stream)
            await trio.sleep(20)
        else:
            await self._speak_and_listen(stream)

    async def _speak_and_listen(self, stream: trio.SocketStream) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._read, stream)
            with suppress(trio.BrokenResourceError):  # its reads tell what has become of the connection
                await self._speak(stream)

    async def _speak(self, stream: trio.SocketStream) -> None:
        for _ in range(self._choices.randrange(12)):
            piece = self._choices.choice(_PIECES)
            self.sent += piece  # before: a part of it may arrive
            await stream.send_all(piece)
            if self.sort == "stepwise" or self._choices.random() < 0.3:
                await trio.sleep(self._choices.uniform(0, 0.5))
        await stream.send_eof()
        self.ended = True

    async def _read(self, stream: trio.SocketStream) -> None:
        while True:
            if self.sort == "slow reader":
                await trio.sleep(self._choices.uniform(0, 0.3))
            chunk = await stream.receive_some(self._choices.choice((1, 10, 1000)))
            self.received += chunk
            if not chunk:
                self.eof = True
                return

    def check(self, stopped: float | None) -> None:
        """Check that it has received nothing but what it is owed, and all of it if nothing was in the way."""
        scenario = self._scenario
        said = f"{self.sort} client sent {self.sent!r}, received {self.received!r}"
        if scenario.crowded and _REFUSAL.startswith(self.received):
            return
        owed, _ = scenario.replies(self.sent, ended=True)
        prompts = {First.CLIENT: (b"",), First.SERVER: (PROMPT,), First.EITHER: (b"", PROMPT)}[scenario.first]
        require(
            any((prompt + owed).startswith(self.received) for prompt in prompts), f"{said}, owed {owed!r}"
        )
        undisturbed = (
            scenario.generous
            and not scenario.conditions.reset
            and self.sort in {"good", "stepwise", "slow reader"}
            and (stopped is None or self.ended_at < stopped)
        )
        if undisturbed and self.connected:
            require(self.received in {prompt + owed for prompt in prompts}, f"{said}, owed all of {owed!r}")
            require(self.eof, f"{said}: no end")
