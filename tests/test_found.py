"""What fuzzing has found: the promise that each of it broke, as a property, and the input as an example.

The inputs as the harnesses have them are in fuzz/regressions.
"""

from __future__ import annotations

import os
import socket
from functools import partial
from typing import Any

import pytest
import trio
import trio.testing
from hypothesis import example, given
from hypothesis import strategies as st
from trio.testing import MockClock

from caas_trio import (
    Connection,
    First,
    Limits,
    LineBuffer,
    LineSession,
    LineTooLong,
    Oversize,
    StateError,
    serve,
)
from caas_trio.drivers.choice import DriverName
from caas_trio.drivers.machine import Machine

from .models import NaiveLineBuffer
from .strategies import LIMITS, chunked
from .support.counting import Counting
from .support.streams import receive_all
from .test_channels import LIMITS as TIMES
from .test_channels import PROMPT, Conversation, closing

__all__ = ["closing"]  # a fixture

CASES = LIMITS.flatmap(lambda limit: st.tuples(chunked(limit), st.just(limit)))
TAKING = st.sampled_from(["next_line", "take_lines", "take_pieces", "take_rest", "take_line_piece"])
CALLS = st.lists(st.one_of(TAKING, st.sampled_from([b"a", b"\n", b"aa", b"b\nc", b"a\nb\n"])), max_size=12)


@given(case=CASES, first=..., oversize=..., once=..., bytewise=...)
@example(case=([b"aa\n", b"\n"], 1), first=First.CLIENT, oversize=Oversize.REJECT, once=False, bytewise=True)
def test_nothing_is_answered_once_a_session_is_closing(
    *, case: tuple[list[bytes], int], first: First, oversize: Oversize, once: bool, bytewise: bool
) -> None:
    chunks, limit = case
    service = bytes.upper if bytewise else lambda line: line.upper()
    session = LineSession(service, first, PROMPT, limit, oversize, once=once)
    session.open()
    for chunk in filter(None, chunks):
        if session.closing:
            with pytest.raises(StateError):
                session.receive(chunk)
        else:
            session.receive(chunk)


@given(CALLS, LIMITS)
@example(["take_pieces", b"aa", "take_pieces", b"b\nc", "take_rest", b"a", "take_pieces"], 1)
def test_mixed_reads_do_not_disturb_each_other(calls: list[str | bytes], limit: int) -> None:
    buffers = LineBuffer(limit), NaiveLineBuffer(limit)
    for call in calls:
        outcomes = [outcome(buffer, call) for buffer in buffers]
        assert outcomes[0] == outcomes[1]


def outcome(buffer: LineBuffer | NaiveLineBuffer, call: str | bytes) -> object:
    """Feed a chunk, or take in the way of that name."""
    try:
        if isinstance(call, bytes):
            return buffer.feed(call)
        return getattr(buffer, call)(*[4] if call == "take_line_piece" else [])
    except LineTooLong as error:
        return error.limit


@given(st.lists(st.sampled_from([b"a", b"bb", b"\n", b"ab\n"]), max_size=100), TAKING)
@example([b"a"] * 100, "take_line_piece")
def test_no_byte_is_searched_repeatedly(chunks: list[bytes], way: str) -> None:
    buffer = LineBuffer(1000)
    counting = Counting()
    buffer._buffer = counting
    for chunk in chunks:
        buffer.feed(chunk)
        while getattr(buffer, way)(*[1000] if way == "take_line_piece" else []):
            pass
    assert counting.looked_at <= 4 * sum(map(len, chunks))


@pytest.mark.parametrize("kind", ["memory", "stream", "hub"])
@given(first=..., turns=st.integers(0, 8))
@example(first=First.EITHER, turns=2)
def test_a_drain_prompts_a_client_whose_prompt_delay_has_just_passed(
    kind: str, first: First, turns: int
) -> None:
    async def heard() -> bytes:
        async with trio.open_nursery() as nursery:
            conversation = Conversation(nursery, kind, LineSession(bytes.upper, first, PROMPT), TIMES)
            await trio.testing.wait_all_tasks_blocked()
            clock.jump(TIMES.prompt_delay)
            for _ in range(turns):
                await trio.lowlevel.checkpoint()
            conversation.drain.begin()
            with trio.fail_after(1):
                answer = await receive_all(conversation.client)
            await conversation.client.aclose()
        return answer

    clock = MockClock(autojump_threshold=0)
    assert trio.run(heard, clock=clock) in (b"", PROMPT)
    while Conversation.opened:
        Conversation.opened.pop().close()


LONG = b"x" * 2000 + b"\n"


@pytest.mark.parametrize("driver", ["hub", "stream"])
@given(said=st.lists(st.sampled_from([b"line\n", LONG, b"stop\n", b"half"]), max_size=6), leaves=...)
@example(said=[LONG, LONG, LONG, b"stop\n", b"half"], leaves=False)
@pytest.mark.slow
def test_a_client_that_does_not_read_ends_its_connection_only(
    driver: DriverName,
    said: list[bytes],
    leaves: bool,  # noqa: FBT001 - drawn
) -> None:
    """Slow: every example opens sockets that the kernel has to fill."""
    limits = Limits(idle_timeout=20, line_timeout=5, write_timeout=5, linger_timeout=1)

    async def answer(connection: Connection) -> None:
        async for line in connection:
            await connection.send(line.upper())
            if line == b"stop\n":
                return

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            address = f"caas-found-{os.getpid()}"
            await nursery.start(
                partial(
                    serve, answer, f"unix:@{address}", limits=limits, machine=SmallBuffers(), driver=driver
                )
            )
            with socket.socket(socket.AF_UNIX) as deaf, socket.socket(socket.AF_UNIX) as other:
                deaf.connect(f"\0{address}")
                for chunk in said:
                    deaf.send(chunk)
                if leaves:
                    deaf.close()
                await trio.testing.wait_all_tasks_blocked()
                await trio.sleep(30)  # the mock clock's
                other.connect(f"\0{address}")
                other.send(b"a\n")
                await trio.testing.wait_all_tasks_blocked()
                assert other.recv(1000) == b"A\n"
            nursery.cancel_scope.cancel()

    trio.run(main, clock=MockClock(autojump_threshold=0))


class SmallBuffers(Machine):
    """A machine whose connections hold only a few KiB of output."""

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        sock, address = super().accept(listening, family, kind)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        return sock, address
