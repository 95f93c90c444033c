"""A client of a simulated service: `Client`."""

from __future__ import annotations

import socket
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import trio

from caas_trio.core.peer import InternetPeer, Peer
from caas_trio.core.proxy_encoding import encode_proxy_header
from caas_trio.core.proxy_header import ProxyHeader

from .scenario import FATAL, PORT, PROXIED_PORT
from .server import HEADERS_NETWORK, SimulatedServer

#: The pieces that a client sends, with pauses between them.
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
#: So often repeated, this is more than small buffers hold; less often where each byte takes long.
_FLOOD: Final = b"ab\ncd\n"
_REPEATED, _REPEATED_SLOWLY = 60, 10

#: How many bytes of a line come one by one, and then no more.
_DRIPS: Final = 30

#: How many timeouts a client waits for its replies: longer than others may keep it waiting.
_IDLE_TIMEOUTS: Final = 30
#: How many seconds on top: small buffers and slow links take their time.
_EXTRA_TIMEOUT_S: Final = 500

#: Kinds of beginnings where a PROXY header is expected.
_SLOW, _CUT, _NONE, _LOCAL, _UNKNOWN = "slow", "cut", "none", "local", "unknown"
_ORIGINS: Final = ("own", "own", "own", "own", "stranger", _SLOW, _CUT, _NONE, _LOCAL, _UNKNOWN)
_STRANGER: Final = "198.51.100.1"

#: struct linger of socket(7): a close resets.
_RESETS: Final = struct.pack("ii", 1, 0)


class Client:
    """One client.

    Attributes:
        sort: the name of its behaviour.
        peers: the peers that the server may take it for; none before it is connected.
        label: its name in the trace.
        shows: the bytes before the conversation.
        admissible: whether its address allows it to speak to the server.
        sent: the bytes that it has sent, or tried to.
        ended: whether it has ended its output, its socket being open.
        received: the bytes that it has received.
        eof: whether the server has ended its output.
        reset: whether the connection was reset.
        settled: set when it has ended, or only waits for the end of all.
        connected_at: when, on trio's clock.
        ended_at: the same.
    """

    def __init__(self, server: SimulatedServer, number: int) -> None:
        scenario = server.scenario
        self._server = server
        self._number = number
        self._choices = server.network.random(f"client/{number}")
        self._host = server.network.host(f"client{number % scenario.hosts}")
        self._host.set_buffers(receive=scenario.buffer)
        self.sort = self._choices.choice((*_SORTS, "good", "good", "sprinter"))
        self.admissible = not (scenario.strangers and number % scenario.hosts == 0)
        self.shows = b""
        self._origin = self._choices.choice(_ORIGINS) if scenario.proxied and number % 2 else None
        self.peers: list[Peer] = []
        self.label = ""
        self.sent = b""
        self.received = b""
        self.ended = False
        self.eof = False
        self.reset = False
        self.settled = trio.Event()
        self.connected_at = self.ended_at = 0.0

    @property
    def reads_all(self) -> bool:
        """Whether it reads to the end, whatever it is sent."""
        return self.sort not in {"deaf", "leaver", "resetter", "aborter"}

    @property
    def shows_enough(self) -> bool:
        """Whether it sends a whole PROXY header, where it sends one."""
        return self._origin not in {_SLOW, _CUT, _NONE}

    @property
    def stays(self) -> bool:
        """Whether it may keep a server from its end: it does not read, or does not leave."""
        return self.sort in {"deaf", "stayer", "slow reader", "flooder"}

    async def run(self) -> None:
        """Talk to the server."""
        try:
            await trio.sleep(self._choices.choice((0.0, 0.0, self._choices.uniform(0, 1))))
            with suppress(OSError):  # it has stopped
                await self._connect()
        finally:
            self.settled.set()

    async def _connect(self) -> None:
        stream = await self._host.open_tcp("server", PORT if self._origin is None else PROXIED_PORT)
        self.connected_at = trio.current_time()
        self._name(*stream.socket.getsockname())
        async with stream:
            try:
                with trio.move_on_after(
                    _IDLE_TIMEOUTS * self._server.scenario.limits.idle_timeout + _EXTRA_TIMEOUT_S
                ):
                    await self._talk(stream)
            except* trio.BrokenResourceError:
                self.reset = True
            self.ended_at = trio.current_time()
            if self.sort in {"resetter", "aborter"}:
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESETS)

    def _name(self, address: str, port: int) -> None:
        """Note its address, and the bytes that come before the conversation."""
        self.label = f"{self._host.name}:{port}"
        self.peers.append(InternetPeer(address, port))
        if self._origin is None:
            return
        place = str(HEADERS_NETWORK[1 + self._number % self._server.scenario.hosts])
        source = (_STRANGER if self._origin == "stranger" else place, self._number + 1)
        version = self._choices.choice((1, 2))
        header = encode_proxy_header(ProxyHeader(version, source=source, destination=("192.0.2.99", 7)))
        match self._origin:
            case "own" | "stranger":
                self.peers.append(InternetPeer(*source))
                allows_all = not self._server.scenario.strangers
                self.admissible, self.shows = allows_all or self._origin == "own", header
            case "slow" | "cut":
                self.shows = header[: len(header) // 2]
            case "none":
                self.shows = b"GET / HTTP/1.1\r\n"
            case "local":
                self.admissible, self.shows = True, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
            case "unknown":
                self.shows = b"PROXY UNKNOWN\r\n"

    async def _talk(self, stream: trio.SocketStream) -> None:
        if self.shows:
            await stream.send_all(self.shows)
            if self._origin == _CUT:
                await self._end(stream)
            if not self.shows_enough:
                return await self.read(stream)
        return await _SORTS[self.sort](self, stream)

    # The behaviours

    async def speak_and_listen(self, stream: trio.SocketStream) -> None:
        """Send everything, and read to the end meanwhile."""
        async with trio.open_nursery() as nursery:

            async def speak() -> None:
                with suppress(trio.BrokenResourceError):  # its reads tell what has become of the connection
                    await self._speak(stream)

            nursery.start_soon(speak)
            if self.sort == "flooder":
                await trio.sleep(self._choices.uniform(0, 2))
            await self.read(stream)
            nursery.cancel_scope.cancel()

    async def leave(self, stream: trio.SocketStream) -> None:
        """Do the same for a while, and close."""
        with trio.move_on_after(self._choices.uniform(0, 2)):
            await self.speak_and_listen(stream)

    async def abort(self, stream: trio.SocketStream) -> None:
        """Send at most a line, and close."""
        await self._send(stream, self._choices.choice((b"", b"a\n", b"a")))

    async def drip_slowly(self, stream: trio.SocketStream) -> None:
        """Send a line that never ends, a byte now and then."""
        async with trio.open_nursery() as nursery:

            async def drip() -> None:
                with suppress(trio.BrokenResourceError):
                    for _ in range(_DRIPS):
                        await self._send(stream, b"x")
                        await trio.sleep(self._server.scenario.limits.line_timeout / 3)

            nursery.start_soon(drip)
            await self.read(stream)
            nursery.cancel_scope.cancel()

    async def fall_silent(self, stream: trio.SocketStream) -> None:
        """Send a line, or a part of one, and read."""
        with suppress(trio.BrokenResourceError):
            await self._send(stream, self._choices.choice((b"a\n", b"a", b"!")))
        await self.read(stream)

    async def sprint(self, stream: trio.SocketStream) -> None:
        """Send all at once."""
        with suppress(trio.BrokenResourceError):
            await self._send(stream, b"".join(self._pieces()))
            await self._end(stream)
        await self.read(stream)

    async def stop_listening(self, stream: trio.SocketStream) -> None:
        """Send more than buffers hold, and read nothing."""
        async with trio.open_nursery() as nursery:

            async def speak() -> None:
                with suppress(trio.BrokenResourceError):
                    await self._send(stream, self._flood)
                    await self._speak(stream)

            nursery.start_soon(speak)
            self.settled.set()
            await self._server.released.wait()
            nursery.cancel_scope.cancel()

    async def stay(self, stream: trio.SocketStream) -> None:
        """Read to the end of the output, and do not end its own."""
        with suppress(trio.BrokenResourceError):
            for piece in self._pieces():
                await self._send(stream, piece)
        await self.read(stream)
        self.settled.set()
        await self._server.released.wait()

    @property
    def _flood(self) -> bytes:
        return _FLOOD * (_REPEATED_SLOWLY if self._server.scenario.delays else _REPEATED)

    def _pieces(self) -> list[bytes]:
        if self.sort == "flooder":
            return [self._flood, *self._choices.choices(_PIECES, k=3)]
        fatal = [FATAL, FATAL + b"\n"] if self._server.scenario.fails else []
        return self._choices.choices([*_PIECES, *fatal], k=self._choices.randrange(12))

    async def _speak(self, stream: trio.SocketStream) -> None:
        if self._choices.random() < 0.5:  # before it would be prompted, or at that moment
            delay = self._server.scenario.limits.prompt_delay
            speaks_at = trio.current_time() + self._choices.choice((delay, self._choices.uniform(0, delay)))
            if self._choices.random() < self._server.scenario.freezes:
                self._server.freeze_at(speaks_at, delay)
            await trio.sleep_until(speaks_at)
        for piece in self._pieces():
            await self._send(stream, piece)
            if self.sort == "stepwise" or self._choices.random() < 0.3:
                await trio.sleep(self._choices.uniform(0, 0.5))
        await self._end(stream)

    async def _send(self, stream: trio.SocketStream, data: bytes) -> None:
        """Send bytes; the scenario may stop the server then, or freeze the machine."""
        first = not self.sent
        self.sent += data  # before: a part of it may arrive
        await stream.send_all(data)
        stop, server = self._server.scenario.stop, self._server
        if first and stop is not None and stop.by == self._number:
            server.begin_to_stop()
        if self._choices.random() < server.scenario.freezes:
            server.freeze(self._choices.choice((0.001, 0.35, 3.0)))

    async def _end(self, stream: trio.SocketStream) -> None:
        await stream.send_eof()
        self.ended = True

    async def read(self, stream: trio.SocketStream) -> None:
        """Read to the end."""
        while True:
            if self.sort == "slow reader":
                await trio.sleep(self._choices.uniform(0, 0.3))
            chunk = await stream.receive_some(self._choices.choice((1, 10, 1000)))
            self.received += chunk
            if not chunk:
                self.eof = True
                return


#: The behaviours, by name.
_SORTS: Final[dict[str, Callable[[Client, Any], Awaitable[None]]]] = {
    "good": Client.speak_and_listen,
    "stepwise": Client.speak_and_listen,
    "slow reader": Client.speak_and_listen,
    "flooder": Client.speak_and_listen,
    "sprinter": Client.sprint,
    "silent": Client.read,
    "half silent": Client.fall_silent,
    "dripper": Client.drip_slowly,
    "deaf": Client.stop_listening,
    "stayer": Client.stay,
    "leaver": Client.leave,
    "resetter": Client.leave,
    "aborter": Client.abort,
}
