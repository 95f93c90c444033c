"""The portable driver, over memory streams and under the mock clock."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
import trio
import trio.testing
from trio.testing import MemoryReceiveStream, MemorySendStream, MockClock

from caas_trio import First, Limits, LineSession, Oversize
from caas_trio.drain import QUIET, Drain
from caas_trio.stream import converse, part

PROMPT = b"say something:\n"
LIMITS = Limits(prompt_delay=5, linger_timeout=20)

Client = trio.StapledStream[MemorySendStream, MemoryReceiveStream]


class Conversation:
    """A server's side that runs in a task, and the client's side of its stream."""

    def __init__(self, nursery: trio.Nursery, session: LineSession) -> None:
        self.client, self.server = trio.testing.memory_stream_pair()
        self.drain = Drain()
        self.over = trio.Event()
        nursery.start_soon(self._serve, session)

    async def _serve(self, session: LineSession) -> None:
        async with self.server:
            await converse(self.server, session, LIMITS, self.drain)
            await part(self.server, LIMITS)
        self.over.set()


async def receive_all(client: Client) -> bytes:
    return b"".join([chunk async for chunk in client])


async def test_a_conversation_split_into_single_bytes(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper))
    for byte in b"hello\r\n\nworld":
        await conversation.client.send_all(bytes([byte]))
        await trio.testing.wait_all_tasks_blocked()
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"HELLO\r\n\nWORLD"
    await conversation.over.wait()
    assert trio.current_time() == autojump_clock.current_time() == 0


async def test_client_first_says_nothing_for_an_hour(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper))
    with trio.move_on_after(3600) as hour:
        await conversation.client.receive_some()
    assert hour.cancelled_caught
    await conversation.client.send_all(b"a\n")
    assert await conversation.client.receive_some() == b"A\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("early", [b"", b"early\n"])
async def test_server_first_prompts_before_it_reads(
    early: bytes, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper, First.SERVER, PROMPT))
    await conversation.client.send_all(early + b"a\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == PROMPT + early.upper() + b"A\n"
    assert trio.current_time() == 0


async def test_either_prompts_after_the_delay_and_once(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper, First.EITHER, PROMPT))
    assert await conversation.client.receive_some() == PROMPT
    assert trio.current_time() == LIMITS.prompt_delay
    await trio.sleep(60)  # the mock clock's
    await conversation.client.send_all(b"a\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"A\n"


async def test_either_does_not_prompt_who_spoke_just_in_time(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper, First.EITHER, PROMPT))
    await trio.sleep(LIMITS.prompt_delay - 0.001)  # the mock clock's
    await conversation.client.send_all(b"a")
    await trio.sleep(60)  # the mock clock's
    await conversation.client.send_all(b"\n")
    await conversation.client.send_eof()
    assert await receive_all(conversation.client) == b"A\n"


async def test_no_delay_at_all_still_sees_what_is_there(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(b"a\n")
    await client.send_eof()
    await converse(server, LineSession(bytes.upper, First.EITHER, PROMPT), Limits(prompt_delay=0), Drain())
    await server.aclose()
    assert await receive_all(client) == b"A\n"


async def test_a_client_that_does_not_read_is_not_read(nursery: trio.Nursery) -> None:
    client, server = trio.testing.lockstep_stream_pair()
    nursery.start_soon(converse, server, LineSession(bytes.upper), LIMITS, Drain())
    await client.send_all(b"one\n")
    async with trio.open_nursery() as sending:
        sending.start_soon(client.send_all, b"two\n")
        await trio.testing.wait_all_tasks_blocked()
        assert len(sending.child_tasks) == 1  # the second line is not taken while a reply waits
        assert await client.receive_some() == b"ONE\n"
    assert await client.receive_some() == b"TWO\n"
    nursery.cancel_scope.cancel()


async def test_a_rejected_client_gets_its_replies_whatever_it_goes_on_sending(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    session = LineSession(bytes.upper, max_line=3, oversize=Oversize.REJECT)
    conversation = Conversation(nursery, session)
    await conversation.client.send_all(b"ok\nabcd")
    assert await receive_all(conversation.client) == b"OK\nerror: line longer than 3 bytes\n"
    await conversation.client.send_all(b"more" * 100)
    assert not conversation.over.is_set()
    await conversation.client.send_eof()
    await conversation.over.wait()
    assert trio.current_time() < LIMITS.linger_timeout


async def test_a_client_that_never_ends_is_let_go_after_the_linger_timeout(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper, once=True))
    await conversation.client.send_all(b"a\n")
    assert await receive_all(conversation.client) == b"A\n"
    with suppress(trio.BrokenResourceError):
        while True:
            await conversation.client.send_all(b"more")
            await trio.sleep(1)  # the mock clock's
    assert trio.current_time() == pytest.approx(LIMITS.linger_timeout, abs=1)


async def test_a_reset_comes_through_as_the_streams_own_error() -> None:
    client, server = trio.testing.memory_stream_pair()
    await client.send_all(b"a\n")
    await client.aclose()
    with pytest.raises(trio.BrokenResourceError):
        await converse(server, LineSession(bytes.upper), LIMITS, Drain())


async def test_the_drain_answers_what_was_received_and_no_half_line(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper))
    await conversation.client.send_all(b"a\nb\nhal")
    conversation.drain.begin()
    assert await receive_all(conversation.client) == b"A\nB\n"
    await conversation.client.send_eof()
    await conversation.over.wait()
    assert trio.current_time() < 1


async def test_the_drain_wakes_a_conversation_that_waits(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper, First.EITHER, PROMPT))
    await trio.testing.wait_all_tasks_blocked()
    conversation.drain.begin()
    assert await receive_all(conversation.client) == b""
    assert trio.current_time() < LIMITS.prompt_delay
    await conversation.client.aclose()
    await conversation.over.wait()


async def test_cancellation_ends_a_conversation_at_once(nursery: trio.Nursery) -> None:
    conversation = Conversation(nursery, LineSession(bytes.upper))
    await trio.testing.wait_all_tasks_blocked()
    nursery.cancel_scope.cancel()
    with trio.CancelScope(shield=True):
        assert await receive_all(conversation.client) == b""
    assert not conversation.over.is_set()


async def test_a_stream_that_cannot_half_close_is_left_to_its_owner() -> None:
    client, server = trio.testing.memory_stream_pair()

    class Whole(trio.abc.Stream):
        send_all = server.send_all
        receive_some = server.receive_some
        aclose = server.aclose
        wait_send_all_might_not_block = server.wait_send_all_might_not_block

    stream = Whole()
    await part(stream, LIMITS)
    await stream.send_all(b"still open")
    assert await client.receive_some() == b"still open"


async def test_a_wait_is_bounded_by_the_drain_and_forgotten_after(autojump_clock: MockClock) -> None:
    drain = Drain()
    with drain.waiting(3) as wait:
        await trio.sleep(math.inf)  # the mock clock's
    assert wait.cancelled_caught
    assert trio.current_time() == 3
    drain.begin()
    with drain.waiting() as wait:
        await trio.sleep(math.inf)  # the mock clock's
    assert wait.cancelled_caught
    assert trio.current_time() == 3 + QUIET
    assert not drain._waits
