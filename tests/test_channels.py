"""One set of behaviour tests over every driver: memory streams, sockets, sockets with the hub, TLS.

All under the mock clock. It jumps only when nothing can happen otherwise, and a socket pair carries
bytes within the call that sends them, so real sockets do not spoil it.
"""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from contextlib import closing as closing_at_end
from contextlib import nullcontext, suppress
from typing import Any, ClassVar

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from caas_trio import (
    Connection,
    ConnectionLost,
    First,
    Limits,
    LineSession,
    LocalPeer,
    Oversize,
    Session,
    StateError,
    StreamTransform,
    TooSlow,
)
from caas_trio.core.telemetry import ServerStats
from caas_trio.drivers.channel import Channel
from caas_trio.drivers.drain import DRAIN_READ_TIMEOUT_S, Drain
from caas_trio.drivers.hub import Hub
from caas_trio.drivers.hubchannel import HubChannel
from caas_trio.drivers.poller import EPOLLIN, EPOLLOUT
from caas_trio.drivers.stream import StreamChannel
from caas_trio.server import accepting
from caas_trio.server.listeners import stream_options

from .certificates import hub_over_tls, over_tls
from .models import capitals
from .strategies import LIMITS as LINE_LIMITS
from .strategies import chunked
from .support.sockets import descriptors
from .support.streams import receive_all

PROMPT = b"say something:\n"
LIMITS = Limits(prompt_delay=5, linger_timeout=20, idle_timeout=math.inf, line_timeout=math.inf)
KINDS = ["memory", "stream", "hub", "stream-tls", "hub-tls"]

Client = trio.abc.HalfCloseableStream


class Conversation:
    """A server's side that runs in a task, and the client's side of its connection."""

    opened: ClassVar[list[socket.socket]] = []

    def __init__(
        self,
        nursery: trio.Nursery,
        kind: str,
        session: Session,
        limits: Limits = LIMITS,
        stats: ServerStats | None = None,
    ) -> None:
        self.drain = Drain()
        self.over = trio.Event()
        self.raised: Exception | None = None
        self.hub: Hub | None = None
        self.client: Client
        self.channel: Channel
        if kind == "memory":
            self.client, stream = trio.testing.memory_stream_pair()
            self.channel = StreamChannel(stream, limits, self.drain, stats=stats)
        else:
            ours, theirs = socket.socketpair()
            self.opened.append(ours)
            self.client = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
            if kind.startswith("hub"):
                self.hub = Hub(limits, self.drain, stats=stats)
                self.channel = channel = self.hub.channel(theirs)
                if kind == "hub-tls":
                    self.client = hub_over_tls(self.client, channel)
            else:
                server: Client = trio.SocketStream(trio.socket.from_stdlib_socket(theirs))
                if kind == "stream-tls":
                    self.client, server = over_tls(self.client, server)
                self.channel = StreamChannel(server, limits, self.drain, stats=stats)
        nursery.start_soon(self._serve, session)

    async def _serve(self, session: Session) -> None:
        try:
            async with trio.open_nursery() as driving:
                if self.hub is not None:
                    driving.start_soon(self.hub.run)
                try:
                    await self.channel.converse(session)
                    await self.channel.close_gracefully()
                except Exception as error:  # noqa: BLE001 - the test looks at it
                    self.raised = error
                finally:
                    await self.channel.aclose()
                driving.cancel_scope.cancel()
        finally:
            if self.hub is not None:
                self.hub.close()
        self.over.set()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Run the test once over each kind of channel."""
    return str(request.param)


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    """Close the clients' sockets that a test has left open."""
    yield
    while Conversation.opened:
        Conversation.opened.pop().close()


async def test_a_conversation_split_into_single_bytes(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    for byte in b"hello\r\n\nworld":
        await conversation.client.send_all(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"HELLO\r\n\nWORLD"
    await conversation.over.wait()
    assert trio.current_time() == autojump_clock.current_time() == 0


async def test_client_first_sends_nothing_for_an_hour(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    with trio.move_on_after(3600) as hour:
        await conversation.client.receive_some()
    assert hour.cancelled_caught
    await conversation.client.send_all(b"a\n")
    assert await conversation.client.receive_some() == b"A\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("early", [b"", b"early\n"])
async def test_server_first_prompts_before_it_reads(
    kind: str, early: bytes, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.SERVER, PROMPT))
    await conversation.client.send_all(early + b"a\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == PROMPT + early.upper() + b"A\n"
    assert trio.current_time() == 0


async def test_either_prompts_after_the_delay_and_once(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.EITHER, PROMPT))
    assert await conversation.client.receive_some() == PROMPT
    assert trio.current_time() == LIMITS.prompt_delay
    await trio.sleep(60)  # the mock clock's
    await conversation.client.send_all(b"a\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"A\n"


async def test_either_does_not_prompt_a_client_that_sends_just_in_time(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.EITHER, PROMPT))
    await trio.sleep(LIMITS.prompt_delay - 0.001)  # the mock clock's
    await conversation.client.send_all(b"a")
    await trio.sleep(60)  # the mock clock's
    await conversation.client.send_all(b"\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"A\n"


async def test_a_prompt_delay_of_0_still_reads_first(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(bytes.upper, First.EITHER, PROMPT)
    conversation = Conversation(nursery, kind, session, Limits(prompt_delay=0))
    await conversation.client.send_all(b"a\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"A\n"


async def test_either_survives_a_client_that_ends_without_data(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(bytes.upper, First.EITHER, PROMPT)
    conversation = Conversation(nursery, kind, session, Limits(prompt_delay=0))
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b""
    await conversation.over.wait()
    assert conversation.raised is None


async def test_a_client_that_does_not_read_is_not_read(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = Counting()
    conversation = Conversation(nursery, kind, session)
    line = b"x" * 99_999 + b"\n"
    sent = 0
    if kind == "memory":
        throttle(conversation)
    while True:
        with trio.move_on_after(1) as second:
            await conversation.client.send_all(line)
            sent += len(line)
        if second.cancelled_caught or sent > 20 * len(line):
            break
    # What is in neither kernel's buffers nor the reply under way has not been received.
    assert session.received < 8 * len(line)
    nursery.cancel_scope.cancel()


def throttle(conversation: Conversation) -> None:
    """Bound a memory stream as the kernel does a socket: its own side has no bound."""
    assert isinstance(conversation.client, trio.StapledStream)
    stream = conversation.channel._stream  # type: ignore[attr-defined]
    send_all = stream.send_stream.send_all

    async def blocked(data: bytes) -> None:
        await send_all(data)
        await trio.sleep_forever()

    stream.send_stream.send_all = blocked


class Counting(LineSession):
    """Counts what it has received."""

    def __init__(self) -> None:
        super().__init__(bytes.upper, max_line=1_000_000)
        self.received = 0

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        self.received += len(data)
        return super().receive(data)


async def test_a_megabyte_comes_back_to_a_client_that_reads_slowly(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, once=True, oversize=Oversize.STREAM))
    data = b"abcdefghi" * 100_000 + b"\n"
    nursery.start_soon(conversation.client.send_all, data)
    heard = b""
    while len(heard) < len(data):
        await trio.sleep(0.01)  # the mock clock's
        heard += await conversation.client.receive_some(50_000)
    assert heard == data.upper()
    assert await receive_all(conversation.client) == b""


async def test_a_rejected_client_gets_its_replies_while_it_goes_on_sending(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(bytes.upper, max_line=3, oversize=Oversize.REJECT)
    conversation = Conversation(nursery, kind, session)
    await conversation.client.send_all(b"ok\nabcd")
    assert await receive_all(conversation.client) == b"OK\nerror: line longer than 3 bytes\n"
    await conversation.client.send_all(b"more" * 100)
    assert not conversation.over.is_set()
    await conversation.client.send_eof()
    await conversation.over.wait()
    assert trio.current_time() < LIMITS.linger_timeout


async def test_a_client_that_never_closes_is_dropped_after_the_linger_timeout(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, once=True))
    await conversation.client.send_all(b"a\n")
    assert await receive_all(conversation.client) == b"A\n"
    with suppress(trio.BrokenResourceError):
        while True:
            await conversation.client.send_all(b"more")
            await trio.sleep(1)  # the mock clock's
    assert trio.current_time() == pytest.approx(LIMITS.linger_timeout, abs=1)


async def test_a_reset_is_a_lost_connection(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    await conversation.client.send_all(b"a\n")
    await conversation.client.aclose()
    await conversation.over.wait()
    assert isinstance(conversation.raised, ConnectionLost)


async def test_a_session_error_is_raised(kind: str, autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    def service(_: bytes) -> bytes:
        raise OSError("of the service, not of the socket")

    conversation = Conversation(nursery, kind, LineSession(service))
    await conversation.client.send_all(b"a\n")
    await conversation.over.wait()
    assert repr(conversation.raised) == "OSError('of the service, not of the socket')"


async def test_the_drain_answers_whole_lines_only(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    await conversation.client.send_all(b"a\nb\nhal")
    conversation.drain.begin()
    assert await receive_all(conversation.client) == b"A\nB\n"
    await conversation.client.send_eof()
    await conversation.over.wait()
    assert trio.current_time() < 1


class Careful(Counting):
    """Wants no more than 100 bytes at a time, and notes the rounds in which it gets them."""

    def __init__(self) -> None:
        super().__init__()
        self.max_chunk = 100
        self.longest = 0

    def receive(self, data: bytes | bytearray | memoryview) -> bytes:
        self.longest = max(self.longest, len(data))
        return super().receive(data)


class Rounds(ServerStats):
    """Counts how often a driver had its turn."""

    rounds = 0

    def served(self, reads: int, seconds: float) -> None:
        self.rounds += 1
        super().served(reads, seconds)


async def test_max_chunk_limits_each_call_of_receive(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session, rounds = Careful(), Rounds()
    conversation = Conversation(nursery, kind, session, stats=rounds)
    await conversation.client.send_all(b"ninebytes\n" * 200)
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"NINEBYTES\n" * 200
    assert session.longest == session.max_chunk
    assert rounds.rounds >= 20
    assert (rounds.received, rounds.sent, rounds.lines) == (2000, 2000, 200)


@pytest.mark.parametrize("early", [True, False])
async def test_what_a_session_does_not_want_at_once_is_served_without_more_input(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery, *, early: bool
) -> None:
    conversation = Conversation(nursery, kind, Careful())
    if not early:
        await trio.testing.wait_all_tasks_blocked()
    await conversation.client.send_all(b"ninebytes\n" * 50)
    heard = b""
    while len(heard) < 500:
        heard += await conversation.client.receive_some()
    assert heard == b"NINEBYTES\n" * 50
    nursery.cancel_scope.cancel()


async def test_the_drain_can_be_ended_between_reads(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session, rounds = Careful(), Rounds()
    conversation = Conversation(nursery, kind, session, stats=rounds)
    await trio.testing.wait_all_tasks_blocked()
    await conversation.client.send_all(b"ninebytes\n" * 200 + b"and a tail")
    conversation.drain.begin()
    assert await receive_all(conversation.client) == b"NINEBYTES\n" * 200
    assert session.longest == session.max_chunk
    assert rounds.rounds >= 20


async def test_there_is_nothing_to_linger_for_after_a_reset(nursery: trio.Nursery) -> None:
    ours, theirs = socket.socketpair()

    async def converse() -> None:
        with pytest.raises(ConnectionLost):
            await channel.converse(LineSession(bytes.upper))

    with ours, closing_at_end(Hub(LIMITS, Drain())) as hub:
        nursery.start_soon(hub.run)
        async with trio.open_nursery() as conversing:
            channel = hub.channel(theirs)
            conversing.start_soon(converse)
            await trio.testing.wait_all_tasks_blocked()
            ours.send(b"line\n")
            await trio.testing.wait_all_tasks_blocked(0.01)
            ours.close()  # with an unread reply: that resets
        assert channel.needs_no_linger
        channel.close()
        nursery.cancel_scope.cancel()


async def test_endless_input_does_not_extend_the_linger_timeout() -> None:
    ours, theirs = socket.socketpair()
    with ours, closing_at_end(Hub(LIMITS, Drain())) as hub:
        channel = hub.channel(theirs)
        ours.send(b"never read")
        with trio.CancelScope() as scope:
            scope.cancel()  # by others, as soon as they have their turn
            await channel.close_gracefully()
        assert scope.cancelled_caught
        await channel.aclose()


async def test_the_drain_wakes_a_conversation_that_waits(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.EITHER, PROMPT))
    await trio.testing.wait_all_tasks_blocked()
    conversation.drain.begin()
    assert await receive_all(conversation.client) == b""
    assert trio.current_time() < LIMITS.prompt_delay
    await conversation.client.aclose()
    await conversation.over.wait()


async def test_a_cancelled_conversation_ends_at_once(kind: str, nursery: trio.Nursery) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()
    # Over TLS, the client can tell this end from an orderly one.
    cut_off = pytest.raises(trio.BrokenResourceError) if "tls" in kind else nullcontext()
    with trio.CancelScope(shield=True), cut_off:
        assert await receive_all(conversation.client) == b""
    assert not conversation.over.is_set()


async def test_the_drain_answers_a_last_line_after_eof(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    await conversation.client.send_all(b"a\ntail")
    await conversation.client.send_eof()
    conversation.drain.begin()
    assert await receive_all(conversation.client) == b"A\nTAIL"


async def test_the_drain_sends_pending_replies_to_a_late_reader(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper))
    data = b"line\n" * 40_000
    with trio.move_on_after(1):
        await conversation.client.send_all(data)
        await trio.sleep_forever()
    conversation.drain.begin()
    heard = await receive_all(conversation.client)
    assert heard == data.upper()


async def test_a_connection_accepted_while_draining_is_answered(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.SERVER, PROMPT))
    conversation.drain.begin()
    await conversation.client.send_all(b"a\n")
    assert await receive_all(conversation.client) == PROMPT + b"A\n"


@pytest.mark.parametrize("steps", range(6))
async def test_the_drain_ends_a_client_that_was_just_prompted(
    steps: int, kind: str, mock_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.EITHER, PROMPT))
    await trio.testing.wait_all_tasks_blocked()
    mock_clock.jump(LIMITS.prompt_delay)
    for _ in range(steps):
        await trio.lowlevel.checkpoint()
    conversation.drain.begin()
    mock_clock.autojump_threshold = 0
    assert await receive_all(conversation.client) in (b"", PROMPT)
    assert trio.current_time() < LIMITS.prompt_delay + 1


async def test_a_connection_accepted_while_draining_is_not_prompted(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper, First.EITHER, PROMPT))
    conversation.drain.begin()
    await conversation.client.send_all(b"a\n")
    assert await receive_all(conversation.client) == b"A\n"


async def test_a_last_reply_may_exceed_the_send_buffer(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(lambda line: line.upper() * 50, once=True)
    conversation = Conversation(nursery, kind, session)
    line = b"x" * 50_000 + b"\n"
    await conversation.client.send_all(line)
    await trio.testing.wait_all_tasks_blocked()
    assert await receive_all(conversation.client) == line.upper() * 50
    assert not conversation.over.is_set()


@pytest.mark.parametrize("driver", ["stream", "hub"])
async def test_a_reset_while_it_lingers_is_a_lost_connection(
    driver: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, driver, LineSession(bytes.upper, once=True))
    await conversation.client.send_all(b"a\n")
    await trio.testing.wait_all_tasks_blocked()
    await conversation.client.aclose()  # with the reply unread
    await conversation.over.wait()
    assert isinstance(conversation.raised, ConnectionLost)
    assert trio.current_time() < LIMITS.linger_timeout


async def test_a_spurious_read_readiness_is_harmless(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, "hub", LineSession(bytes.upper))

    class Unready(socket.socket):
        """Has nothing to give at the first two times, of which the second is the hub's."""

        left = 2

        def recv(self, *args: int) -> bytes:
            if self.left:
                self.left -= 1
                raise BlockingIOError
            return super().recv(*args)

    assert isinstance(conversation.channel, HubChannel)
    assert isinstance(conversation.channel.sock, socket.socket)
    unready = conversation.channel.sock = Unready(fileno=conversation.channel.sock.detach())
    unready.setblocking(False)  # noqa: FBT003 - the socket module's signature
    await conversation.client.send_all(b"a\n")
    assert await conversation.client.receive_some() == b"A\n"
    assert not unready.left
    nursery.cancel_scope.cancel()


def test_a_late_subscriber_is_notified_of_the_drain_at_once() -> None:
    drain = Drain()
    drain.begin()
    told: list[str] = []
    with drain.notifying(lambda: told.append("stop")):
        assert told == ["stop"]


SLOW = Limits(idle_timeout=100, line_timeout=40, write_timeout=20, linger_timeout=1)


async def overdue(conversation: Conversation) -> tuple[str, float]:
    """Return which timeout ended the conversation, and when."""
    await conversation.over.wait()
    assert isinstance(conversation.raised, TooSlow)
    return conversation.raised.limit, trio.current_time()


async def test_a_quiet_connection_ends_after_the_idle_timeout(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper), SLOW)
    await trio.sleep(50)  # the mock clock's
    await conversation.client.send_all(b"a\n")
    limit, when = await overdue(conversation)
    assert limit == "idle_timeout"
    assert when == pytest.approx(150, abs=2)


@pytest.mark.parametrize(
    ("oversize", "drip"),
    [(Oversize.REJECT, b"x"), (Oversize.STREAM, b"x"), (Oversize.DISCARD, b"xxx"), (Oversize.STREAM, b"xxx")],
)
async def test_single_bytes_do_not_extend_the_line_timeout(
    kind: str, oversize: Oversize, drip: bytes, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(bytes.upper, max_line=100, oversize=oversize)
    conversation = Conversation(nursery, kind, session, SLOW)
    await conversation.client.send_all(b"whole line\nbegun " + (b"" if len(drip) == 1 else b"y" * 100))
    with suppress(trio.BrokenResourceError):
        while True:
            await trio.sleep(5)  # the mock clock's
            await conversation.client.send_all(drip)
    limit, when = await overdue(conversation)
    assert limit == "line_timeout"
    assert when == pytest.approx(40, abs=7)


async def test_a_streamed_line_may_take_for_ever_in_fast_steps(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(bytes.upper, max_line=100, oversize=Oversize.STREAM)
    conversation = Conversation(nursery, kind, session, SLOW)
    for _ in range(20):
        await conversation.client.send_all(b"x" * 50)
        await trio.sleep(10)  # the mock clock's
    await conversation.client.send_all(b"\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"X" * 1000 + b"\n"


async def test_fast_lines_may_follow_each_other_for_ever(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper), SLOW)
    for _ in range(20):
        await conversation.client.send_all(b"begun")
        await trio.sleep(10)  # the mock clock's
        await conversation.client.send_all(b"\nbegun\nbegun")
        await trio.sleep(10)  # the mock clock's
        await conversation.client.send_all(b"\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"BEGUN\n" * 60


async def test_a_client_that_does_not_read_is_dropped_after_the_write_timeout(
    kind: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, kind, LineSession(bytes.upper), SLOW)
    if kind == "memory":
        throttle(conversation)
    with suppress(trio.BrokenResourceError):
        while not conversation.over.is_set():
            with trio.move_on_after(1):
                await conversation.client.send_all(b"line\n" * 200_000)
                await trio.sleep_forever()
    limit, when = await overdue(conversation)
    assert limit == "write_timeout"
    assert when == pytest.approx(20, abs=4)


@pytest.mark.parametrize("how", ["half-close", "reset", "cancel", "timeout", "slow reader", "drain"])
async def test_nothing_is_left_behind(
    kind: str, how: str, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    before = descriptors()
    async with trio.open_nursery() as inner:
        conversation = Conversation(inner, kind, LineSession(bytes.upper), SLOW)
        await conversation.client.send_all(b"a\nhalf")
        await trio.testing.wait_all_tasks_blocked()
        match how:
            case "half-close":
                await conversation.client.send_eof()
            case "reset":
                await conversation.client.aclose()
            case "cancel":
                inner.cancel_scope.cancel()
            case "timeout":
                await trio.sleep(500)  # the mock clock's
            case "slow reader":
                with suppress(trio.BrokenResourceError), trio.move_on_after(500):
                    await conversation.client.send_all(b"line\n" * 1_000_000)
            case _:
                conversation.drain.begin()
    await conversation.client.aclose()
    if conversation.hub is not None:
        assert not any(conversation.hub._poller.channels)
    assert not conversation.drain._callbacks
    assert descriptors() <= before


async def test_a_stream_that_cannot_half_close_is_closed_at_the_end() -> None:
    client, server = trio.testing.memory_stream_pair()

    class Whole(trio.abc.Stream):
        send_all = server.send_all
        receive_some = server.receive_some
        aclose = server.aclose
        wait_send_all_might_not_block = server.wait_send_all_might_not_block

    stream = Whole()
    await StreamChannel(stream, LIMITS, Drain()).close_gracefully()
    with pytest.raises(trio.ClosedResourceError):
        await stream.send_all(b"more")
    assert await client.receive_some() == b""


@given(data=st.data(), limit=LINE_LIMITS, first=..., oversize=..., once=..., silent=...)
@pytest.mark.slow
def test_every_driver_sends_the_same_bytes(
    *, data: st.DataObject, limit: int, first: First, oversize: Oversize, once: bool, silent: bool
) -> None:
    """Slow: two hundred conversations over each driver, each a run of trio."""
    chunks = data.draw(chunked(limit))

    async def heard(kind: str) -> bytes:
        async with trio.open_nursery() as nursery:
            session = LineSession(bytes.upper, first, PROMPT, limit, oversize, once=once)
            conversation = Conversation(nursery, kind, session)
            if silent:
                await trio.sleep(LIMITS.prompt_delay + 1)  # the mock clock's
            for chunk in chunks:
                await conversation.client.send_all(chunk)
                await trio.testing.wait_all_tasks_blocked()
            await conversation.client.send_eof()
            answer = await receive_all(conversation.client)
            await conversation.client.aclose()
        return answer

    said = {kind: trio.run(heard, kind, clock=MockClock(autojump_threshold=0)) for kind in KINDS}
    prompted = First.SERVER if first is First.EITHER and silent else first
    expected = capitals(b"".join(chunks), limit, oversize, first=prompted, prompt=PROMPT, once=once)
    assert said == dict.fromkeys(KINDS, expected)


async def test_the_drain_bounds_a_wait_and_leaves_no_subscription(autojump_clock: MockClock) -> None:
    drain = Drain()
    with drain.waiting(3) as wait:
        await trio.sleep(math.inf)  # the mock clock's
    assert wait.cancelled_caught
    assert trio.current_time() == 3
    drain.begin()
    with drain.waiting() as wait:
        await trio.sleep(math.inf)  # the mock clock's
    assert wait.cancelled_caught
    assert trio.current_time() == 3 + DRAIN_READ_TIMEOUT_S
    assert not drain._callbacks


async def test_a_spurious_write_readiness_is_harmless(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, "hub", LineSession(bytes.upper))

    class Full(socket.socket):
        """Takes nothing at the first two times."""

        refusals = 2

        def send(self, *args: Any) -> int:
            if self.refusals:
                self.refusals -= 1
                raise BlockingIOError
            return super().send(*args)

    assert isinstance(conversation.channel, HubChannel)
    assert isinstance(conversation.channel.sock, socket.socket)
    full = conversation.channel.sock = Full(fileno=conversation.channel.sock.detach())
    full.setblocking(False)  # noqa: FBT003 - the socket module's signature
    await conversation.client.send_all(b"a\n")
    assert await conversation.client.receive_some() == b"A\n"
    assert not full.refusals
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("broken", [False, True])
async def test_the_drain_waits_for_a_client_that_reads_its_replies_late(
    autojump_clock: MockClock, nursery: trio.Nursery, *, broken: bool
) -> None:
    draining = False

    def service(block: bytes) -> bytes:
        if broken and draining:
            raise ZeroDivisionError
        return block.upper() * 2  # more than the kernel can hold at a time

    conversation = Conversation(nursery, "hub", LineSession(StreamTransform(service)))
    client = Conversation.opened[-1]
    sent = 0
    for _ in range(5):  # until the kernel is full on both ways
        await trio.testing.wait_all_tasks_blocked()
        with suppress(BlockingIOError):
            while True:
                sent += client.send(b"a\n" * 1000)
    draining = True
    conversation.drain.begin()
    heard = await receive_all(conversation.client)
    await conversation.over.wait()
    if broken:
        assert isinstance(conversation.raised, ZeroDivisionError)
    else:
        assert heard == b"A\n" * sent


async def test_unsent_data_keeps_waiting_for_room() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        hub = Hub(LIMITS, Drain())
        channel = hub.channel(theirs)
        with suppress(BlockingIOError):
            while True:
                theirs.send(bytes(65536))
        channel.write_buffer = b"more"
        hub._poller.watch(channel, EPOLLIN)
        ours.send(b"a")
        hub._serve(hub._poller.poll())
        assert (channel.write_buffer, channel.watched) == (b"more", EPOLLOUT)
        hub._poller.watch(channel, 0)
        hub.close()


async def test_a_first_read_takes_what_is_there_without_the_hub(autojump_clock: MockClock) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, closing_at_end(Hub(LIMITS, Drain())) as hub:
        channel = hub.channel(theirs)
        connection = Connection(channel, None, LocalPeer(), LIMITS, Drain())
        ours.send(b"a\nb")
        assert await connection.receive_line() == b"a\n"
        assert channel.received == 0  # nobody has it count
        ours.send(b"\n")
        with trio.move_on_after(1) as scope:
            await connection.receive_line()
        assert scope.cancelled_caught  # nobody runs the hub


async def test_a_socket_that_is_closed_is_not_watched() -> None:
    ours, theirs = socket.socketpair()
    with ours, closing_at_end(Hub(LIMITS, Drain())) as hub:
        channel = hub.channel(theirs)
        await channel.aclose()
        with pytest.raises(StateError, match="watch does not fit the state closed"):
            hub._poller.watch(channel, EPOLLIN)
        with pytest.raises(ConnectionLost):
            _ = channel.at_eof


def test_socket_options_of_a_reset_connection_are_skipped() -> None:
    sock = socket.socket(socket.AF_UNIX)
    sock.close()
    accepting._set(stream_options(socket.AF_UNIX), sock)  # its first read will tell
    assert sock.fileno() == -1
