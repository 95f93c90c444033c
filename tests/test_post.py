"""`Connection.post`: bytes from any task, which never waits."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import Connection, ConnectionLost, Limits, StateError, TooMuchUnsent, TooSlow

from .support.streams import receive
from .test_connection import LIMITS, MUCH, Pair, pair, stuck, stuck_pair

__all__ = ["pair", "stuck_pair"]

_OVER = b"x" * (LIMITS.max_unsent + 1)


async def test_what_is_posted_is_sent_in_order_with_what_is_sent(pair: Pair, nursery: trio.Nursery) -> None:
    connection = pair.connection
    assert connection.post(b"one\n")
    assert connection.post(bytearray(b"two\n"))
    await connection.send(memoryview(b"three\n"))
    assert connection.post(memoryview(b"four\n"))
    await connection.send_eof()
    assert b"".join([chunk async for chunk in pair.client]) == b"one\ntwo\nthree\nfour\n"
    nursery.cancel_scope.cancel()


async def test_what_was_buffered_goes_before_what_is_posted(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"a\nb\n")
    assert await pair.connection.receive_line() == b"a\n"
    await pair.connection.send(b"buffered ")
    assert pair.connection.post(b"posted")
    await pair.connection.send_eof()
    assert b"".join([chunk async for chunk in pair.client]) == b"buffered posted"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])  # a memory stream takes all there is
async def test_what_is_posted_beside_a_send_goes_out_whole_behind_it(
    kind: str, nursery: trio.Nursery
) -> None:
    pair = Pair(kind)
    connection = pair.connection
    nursery.start_soon(connection.send, MUCH)
    await trio.testing.wait_all_tasks_blocked()
    assert connection.post(b"posted")

    async def end() -> None:
        await connection.send(b"last")
        await connection.send_eof()

    nursery.start_soon(end)
    assert b"".join([chunk async for chunk in pair.client]) == MUCH + b"postedlast"
    pair.close()


async def test_what_was_posted_is_sent_before_the_handler_is_over(
    autojump_clock: MockClock, pair: Pair, nursery: trio.Nursery
) -> None:
    assert pair.connection.post(b"bye\n" * 100)
    await pair.connection.finish()
    await pair.channel.close_gracefully() if pair.opened else await pair.channel.send_eof()
    assert b"".join([chunk async for chunk in pair.client]) == b"bye\n" * 100
    assert not pair.connection.post(b"more")
    nursery.cancel_scope.cancel()


async def test_a_client_that_does_not_read_ends_its_own_connection(
    autojump_clock: MockClock, stuck_pair: Pair, nursery: trio.Nursery
) -> None:
    connection = stuck_pair.connection
    failures: list[BaseException] = []

    async def read() -> None:
        try:
            await connection.receive_line()
        except TooMuchUnsent as error:
            failures.append(error)

    nursery.start_soon(read)
    await trio.testing.wait_all_tasks_blocked()
    posted = 0
    while connection.post(b"x" * 65536):
        posted += 65536
    assert posted < LIMITS.max_unsent + 4_000_000  # with what the kernel holds
    await trio.testing.wait_all_tasks_blocked()
    [failure] = failures
    assert failure is connection.failure
    assert str(failure) == "more than 1048576 bytes are unsent"
    assert failure.connection is connection
    assert not connection.post(b"more")
    with pytest.raises(TooMuchUnsent):
        await connection.send(b"more")
    nursery.cancel_scope.cancel()


async def test_what_is_being_sent_counts_as_unsent_until_it_has_been(
    pair: Pair, nursery: trio.Nursery
) -> None:
    connection, most = pair.connection, b"x" * LIMITS.max_unsent
    for _ in range(2):
        assert connection.post(most)
        await receive(pair.client, most)
        await trio.testing.wait_all_tasks_blocked()
    if not pair.opened:  # a memory stream takes all there is
        pair.channel._stream.send_stream.send_all = stuck  # type: ignore[attr-defined]
    assert connection.post(most)
    await trio.testing.wait_all_tasks_blocked()
    assert not connection.post(most)
    assert isinstance(connection.failure, TooMuchUnsent)
    nursery.cancel_scope.cancel()


async def test_more_than_may_wait_at_once_ends_the_connection(
    stuck_pair: Pair, nursery: trio.Nursery
) -> None:
    assert not stuck_pair.connection.post(_OVER * 4)
    with pytest.raises(TooMuchUnsent):
        await stuck_pair.connection.receive_line()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])
async def test_a_send_that_waits_ends_with_the_connection(kind: str, nursery: trio.Nursery) -> None:
    pair = Pair(kind)
    failures: list[BaseException] = []

    async def send() -> None:
        try:
            await pair.connection.send(MUCH)
        except TooMuchUnsent as error:
            failures.append(error)

    nursery.start_soon(send)
    await trio.testing.wait_all_tasks_blocked()
    assert not pair.connection.post(_OVER)
    await trio.testing.wait_all_tasks_blocked()
    assert failures == [pair.connection.failure]
    pair.close()
    nursery.cancel_scope.cancel()


async def test_a_client_that_takes_nothing_is_too_slow_for_what_was_posted(
    stuck_pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    connection = stuck_pair.connection
    big = Limits(max_unsent=len(MUCH), write_timeout=LIMITS.write_timeout)
    connection._change(big)
    assert connection.post(MUCH)
    await trio.sleep(LIMITS.write_timeout + 1)
    with pytest.raises(TooSlow, match=r"^the write timeout is over$"):
        await connection.receive_line()
    nursery.cancel_scope.cancel()


async def test_a_client_that_is_gone_costs_the_caller_nothing(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.aclose()
    while pair.connection.post(b"x"):
        assert pair.connection.failure is None
        await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ConnectionLost):
        await pair.connection.receive_line()
    assert isinstance(pair.connection.failure, ConnectionLost)
    nursery.cancel_scope.cancel()


async def test_a_stream_with_a_bug_ends_its_connection_and_not_the_program() -> None:
    ours, _ = trio.testing.memory_stream_pair()

    class Broken(trio.abc.Stream):
        receive_some = ours.receive_some
        wait_send_all_might_not_block = ours.wait_send_all_might_not_block

        async def send_all(self, data: bytes | bytearray | memoryview) -> None:  # noqa: ARG002
            raise ZeroDivisionError

        async def aclose(self) -> None:
            raise ZeroDivisionError

    connection = Connection.over(Broken())
    assert connection.post(b"x")
    await trio.testing.wait_all_tasks_blocked()
    with pytest.raises(ConnectionLost) as caught:
        await connection.receive_line()
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


async def test_what_cannot_be_bytes_is_refused_at_once(pair: Pair, nursery: trio.Nursery) -> None:
    with pytest.raises(TypeError):
        pair.connection.post("text")  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        pair.connection.post(5)  # type: ignore[arg-type]
    await pair.connection.aclose()
    assert not pair.connection.post(b"x")
    with pytest.raises(StateError):
        await pair.connection.send(b"x")
    nursery.cancel_scope.cancel()
