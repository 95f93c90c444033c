"""One conversation after what has to be shown: a server's side, the client, and what is due."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any, Final

import trio
from trio.testing import wait_all_tasks_blocked

from caas_trio.core.buffering import Chunk
from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import ConnectionLost, PeerError
from caas_trio.core.limits import Limits
from caas_trio.core.peer import InternetPeer, Peer
from caas_trio.core.session import First, LineSession
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.connection import Connection
from caas_trio.drivers.drain import Drain
from caas_trio.drivers.driver import Driver
from caas_trio.drivers.stream import StreamChannel
from caas_trio.drivers.tlsstream import TlsStream
from caas_trio.server.handshaker import Handshaker, Refused
from fuzz.script import CUT, END, SILENCE

from .conversation import Plan
from .running import converse
from .tls_client import RECORD, TlsClient

#: Steps besides the common ones. Hand on the first few bytes of what is to be sent, or all but the last
#: few; say what comes before in plain; spoil the last byte; end the input with close_notify alone, or
#: without; leave; read no more, and again; let all timeouts pass; the server begins to drain.
_FIRST, _LAST, _PLAIN, _SPOIL, _NOTIFY, _CUT_OFF, _LEAVE, _DEAF, _HEAR, _LONG, _DRAIN = b"pPgfch!srtd"
#: Say lines that fill records, three of them: more than one read gives.
_MUCH: Final = ord("b")
#: What steps about TLS are without it.
_WHERE_ALL_IS_PLAIN: Final = {_PLAIN: CUT, _SPOIL: CUT, _NOTIFY: END, _CUT_OFF: END}
_PEER: Final = InternetPeer("192.0.2.1", 50000)
#: A client that a header may name, and that may not connect.
STRANGER: Final = "198.51.100.1"
_FORBIDDEN: Final = "the address is not allowed"
LIMITS: Final = Limits(
    opening_timeout=4,
    prompt_delay=0.3,
    idle_timeout=20,
    line_timeout=6,
    write_timeout=6,
    linger_timeout=1,
)
_NO_HANDSHAKE: Final = "no TLS handshake"
#: What is refused before OpenSSL sees it, and so without an alert.
_GATED: Final = (" bytes", "an empty record")
_NO_VERSION: Final = "wrong version number"  # where OpenSSL may say nothing, as to what is no TLS
_HANDSHAKE: Final = b"\x16"  # the type of its records
#: So few bytes may wait where the kernel has room for each reply of a client that reads; or all of a script.
FEW, ALL = 100, 1 << 20
_STOPPING_TIMEOUT_S: Final = 1.5  # what an opening may take once the server is to stop
_ALL_LIMITS_S: Final = 40.0
_SHORT_S: Final = 2 * LIMITS.prompt_delay
_DRAIN_POLL_S: Final = 0.05  # after which a conversation that drains has seen that there is no input


def _stream(channel: Channel) -> TlsStream:
    assert isinstance(channel, StreamChannel)
    assert isinstance(channel._stream, TlsStream)
    return channel._stream


class _Sized(LineSession):
    """Checks that no read gives it more than it wants."""

    def receive(self, data: Chunk) -> bytes:
        assert len(data) <= self.max_chunk, f"read {len(data)} bytes, at most {self.max_chunk} due"
        return super().receive(data)


@contextmanager
def _lost() -> Iterator[None]:
    try:
        yield
    except trio.BrokenResourceError as error:
        raise ConnectionLost from error


class TlsScriptRunner:
    """A server's side, the client, and what is due.

    Attributes:
        max_unsent: how many bytes may wait if a handler serves, which posts its replies; 0 if a session does.
        outcome: what became of the server's side; None as long as it runs.
        owed: what the client is owed, whatever happened since; None as long as nothing has.
    """

    def __init__(self, plan: Plan, client: TlsClient, *, let_in: bool, agreed: bool, sips: int) -> None:
        self.plan = plan
        self.client = client
        self.let_in = let_in  # whether it may connect
        self.welcome = let_in and agreed
        self.sips = sips  # how many bytes the server reads at a time; 0 for a driver, which reads all
        self.drain = Drain()
        self.secure = True
        self.max_unsent = 0
        self.overfull = False  # whether the server has more to say to the handshake than it keeps
        self.read = b""
        self.reason = ""
        self.outcome: str | None = None
        self.prompted = False
        self.owed: bytes | None = None

    async def serve(self, sock: Any, handshaker: Handshaker, driver: Driver, endpoint: Endpoint) -> None:
        """Serve a connection as a server does."""
        try:
            peer: Peer = _PEER
            if handshaker.required(endpoint):
                channel, peer, _ = await handshaker.perform(sock, _PEER, endpoint)
                assert self.let_in, "a stranger is let in"
                assert isinstance(peer, InternetPeer)
                assert peer.host == _PEER.host, f"the peer is {peer}"
            else:
                channel = driver.channel(sock)
            try:
                if self.sips:
                    await self.converse(_stream(channel))
                elif self.max_unsent:
                    await self.post_replies(channel, endpoint)
                else:
                    session = self.plan.session(kind=_Sized)
                    session.max_chunk = min(session.max_chunk, RECORD + self.plan.limit)
                    await channel.converse(session)
                self.outcome = "completed"
            except PeerError as error:
                self.outcome = type(error).__name__
            with suppress(PeerError):
                await (channel.send_eof if self.sips else channel.close_gracefully)()
            if self.sips:
                await self.read_on(_stream(channel))
            await channel.aclose()
        except ConnectionLost:
            self.outcome = "left"
        except Refused as refused:
            self.outcome, self.reason = "refused", refused.reason
            named = refused.peer.host if isinstance(refused.peer, InternetPeer) else ""
            assert self.reason != _FORBIDDEN or named == STRANGER, f"{named} is refused as {self.reason}"
        finally:
            sock.close()

    async def post_replies(self, channel: Channel, endpoint: Endpoint) -> None:
        """Converse as a handler does that reads on whatever of its replies the client has read."""
        limits = replace(LIMITS, max_line=self.plan.limit, max_unsent=self.max_unsent)
        connection = Connection(channel, endpoint, _PEER, limits, self.drain)
        connection.begin()

        async def post(data: bytes) -> None:
            connection.post(data)  # if it is refused, the connection fails

        try:
            await converse(self.plan, connection.receive_line, post)
        finally:
            await connection.finish()
        if connection.failure is not None:
            raise connection.failure

    async def converse(self, stream: TlsStream) -> None:
        """Converse as a driver does, reading a few bytes at a time."""
        session = self.plan.session()
        await stream.wait_send_all_might_not_block()
        with _lost(), trio.move_on_after(_ALL_LIMITS_S / 2):
            await stream.send_all(session.open())
            while not session.closing:
                data = await stream.receive_some(self.sips)
                assert len(data) <= self.sips, f"read {len(data)} bytes, at most {self.sips} due"
                self.read += data
                await stream.send_all(session.receive(data) if data else session.end_of_input())

    async def read_on(self, stream: TlsStream) -> None:
        """Read to the end, once the output has ended; then misuse the stream."""
        with suppress(trio.BrokenResourceError), trio.move_on_after(_ALL_LIMITS_S / 2):
            while data := await stream.receive_some(self.sips):
                assert len(data) <= self.sips, f"read {len(data)} bytes, at most {self.sips} due"
                self.read += data
        for misuse, error in (
            (partial(stream.send_all, b"more"), trio.ClosedResourceError),
            (partial(stream.receive_some, 0), ValueError),
        ):
            try:
                await misuse()
            except error:
                continue
            raise AssertionError(f"{error} was expected")

    async def act(self, chunk: bytes, sign: int, count: int) -> None:
        """Send a chunk and run a step."""
        if self.client.in_plain:
            sign = _WHERE_ALL_IS_PLAIN.get(sign, sign)
        if sign == _PLAIN:
            self.let_go()
            self.client.spoil(chunk)
        else:
            self.client.say(chunk)
            await _STEPS[sign](self, count)
        await self.compare_when_idle()

    async def hand_on(self, _: int = 0) -> None:
        """Hand on all there is, and what that leads to: a handshake takes a few turns."""
        before = None
        while before != self.client.wire:
            before = self.client.wire
            self.client.hand_on(len(before))
            await self.compare_when_idle()

    async def hand_on_first(self, count: int) -> None:
        self.client.hand_on(count)

    async def keep_last(self, count: int) -> None:
        self.client.hand_on(max(0, len(self.client.wire) - count))

    async def spoil_last(self, _: int) -> None:
        """Change the last byte, which OpenSSL always notices. What came before is still served."""
        client = self.client
        certain = self.welcome and client.reading and self.owed is None
        self.let_go()
        client.hand_on(max(0, len(client.wire) - 1))
        if len(client.wire) == 1:
            client.spoil(bytes([client.wire[0] ^ 1]))
        await self.compare_when_idle()
        if certain:
            self.compare_served()

    def compare_served(self) -> None:
        """Compare what the service was given with what was handed on, if there is a record of it."""
        said, ended, ready = self.client.heard
        if ready and self.plan.heard is not None:
            served = self.plan.replies(said, ended=ended)[1]
            assert b"".join(self.plan.heard) == b"".join(served), "a line is lost, or half a line is served"

    async def say_much(self, _: int) -> None:
        if not self.sips:  # which would take their time
            self.client.say((b"m" * (RECORD - 1) + b"\n") * 3)
        await self.hand_on()

    async def notify(self, _: int = 0) -> None:
        """End the output with close_notify."""
        await self.hand_on()
        self.client.notify()
        await self.hand_on()

    async def end(self, _: int) -> None:
        """End the output in an orderly way."""
        await self.notify()
        self.let_go()
        self.client.end()

    async def cut_off(self, _: int) -> None:
        """End the output without close_notify, and without what is still to be handed on."""
        self.let_go()
        self.client.end()

    async def leave(self, _: int) -> None:
        """Send what is due and leave at once; a line is served even so."""
        certain = self.welcome and self.secure and not (self.sips or self.max_unsent) and self.owed is None
        self.let_go()
        self.client.hand_on(len(self.client.wire))
        self.client.leave()
        await self.compare_when_idle()
        if certain and self.plan.first is First.CLIENT:
            self.compare_served()

    async def read_no_more(self, _: int) -> None:
        if self.max_unsent == FEW:
            self.let_go()
        self.client.reading = False

    async def read_again(self, _: int) -> None:
        self.client.reading = True

    async def begin_drain(self, _: int) -> None:
        await self.compare_when_idle()
        self.let_go()
        self.drain.begin()
        if not self.client.heard[2]:
            await trio.sleep(_STOPPING_TIMEOUT_S)
            await self.compare_when_idle()
            assert self.outcome is not None, "an opening does not know of the stop"

    async def keep_silent(self, _: int) -> None:
        """Wait a little longer than the opening delay; a silent client is prompted."""
        await self.compare_when_idle()
        said, ended, ready = self.client.heard
        if ready and not said and not ended and self.plan.first is First.EITHER:
            self.prompted = True
        await trio.sleep(_SHORT_S)

    async def wait_long(self, _: int) -> None:
        """Wait longer than all timeouts."""
        await self.keep_silent(0)
        self.let_go()
        await trio.sleep(_ALL_LIMITS_S)
        await self.compare_when_idle()
        assert self.outcome is not None, "all limits are over, and it goes on"

    def let_go(self) -> None:
        """From here on not all has to be said: note what is due by now."""
        if self.owed is None:
            self.owed = self.due()[0] if self.client.reading else b""

    def due(self) -> tuple[bytes, bool]:
        """Return the replies to what the client has sent so far, and whether that is all."""
        said, ended, ready = self.client.heard
        if not (self.welcome and ready):
            return b"", False
        replies, _, over = self.plan.replies(said, ended=ended)
        prompted = self.prompted or self.plan.first is First.SERVER
        return b"".join((self.plan.prompt if prompted else b"", *replies)), over

    async def compare_when_idle(self) -> None:
        """Wait until nothing moves any more, then compare."""
        moved = True
        while moved:
            if self.drain.begun and self.outcome is None:
                await trio.sleep(_DRAIN_POLL_S)
            await wait_all_tasks_blocked()
            moved = self.client.read()
        self.compare()

    def compare(self) -> None:
        """Compare what the client has received with what is due."""
        client = self.client
        due, over = self.due()
        if self.overfull and client.heard[2] and self.welcome and not due:
            assert self.outcome is not None, "answers pile up that are never flushed"
        assert due.startswith(client.received), f"told {client.received!r}, due {due!r}"
        if self.owed is not None:
            owed = client.gone or not client.reading or client.received.startswith(self.owed)
            assert owed, f"received {client.received!r}, owed {self.owed!r}"
            return
        assert client.failure is None or not self.welcome, f"OpenSSL objects: {client.failure}"
        assert not client.reading or client.received == due, f"told {client.received!r}, due {due!r}"
        if client.reading and client.ready and self.welcome:
            assert client.notified is client.eof is over, "the end of the output is early or missing"

    async def finish(self) -> None:
        """End the client's output, and check what became of the conversation."""
        client = self.client
        client.reading = not client.gone
        await self.notify()
        lenient = self.owed is not None
        self.let_go()
        if not client.gone:
            client.end()
        await self.compare_when_idle()
        if self.outcome is None:
            await trio.sleep(_ALL_LIMITS_S)
            await self.compare_when_idle()
        assert self.outcome is not None, "the conversation has no end"
        assert client.gone or client.eof, "the connection does not end"
        gated = self.reason.endswith((*_GATED, _NO_VERSION))
        if self.reason.startswith(_NO_HANDSHAKE) and not (client.gone or gated):
            speaks_tls = client.first == _HANDSHAKE
            assert client.answered is speaks_tls, "an alert without TLS, or none with it"
        if lenient:
            return
        assert not client.reset or not self.let_in, "a reset instead of an end"
        if self.welcome:
            assert self.outcome == "completed", self.outcome
            assert client.notified, "an end that may have been a cut"
            due = self.due()[0]
            assert client.received == due, f"received {client.received!r} instead of {due!r}"
            assert not self.sips or self.read == client.heard[0], "input is lost"
        else:
            assert self.outcome == "refused", self.outcome
            assert client.failure is not None or not self.let_in, "no reason is given"


_STEPS: Final[dict[int, Callable[[TlsScriptRunner, int], Awaitable[None]]]] = {
    CUT: TlsScriptRunner.hand_on,
    _FIRST: TlsScriptRunner.hand_on_first,
    _LAST: TlsScriptRunner.keep_last,
    _SPOIL: TlsScriptRunner.spoil_last,
    _MUCH: TlsScriptRunner.say_much,
    _NOTIFY: TlsScriptRunner.notify,
    END: TlsScriptRunner.end,
    _CUT_OFF: TlsScriptRunner.cut_off,
    _LEAVE: TlsScriptRunner.leave,
    _DEAF: TlsScriptRunner.read_no_more,
    _HEAR: TlsScriptRunner.read_again,
    SILENCE: TlsScriptRunner.keep_silent,
    _LONG: TlsScriptRunner.wait_long,
    _DRAIN: TlsScriptRunner.begin_drain,
}
KNOWN: Final = frozenset({*_STEPS, _PLAIN})
