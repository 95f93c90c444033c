"""What a handler may wait for, change and skip, over every kind of channel."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from caas_trio import (
    Connection,
    ConnectionLost,
    CountRefused,
    InputEnded,
    LimitError,
    LineTooLong,
    StateError,
    TooSlow,
)
from caas_trio.drivers.wakeup import request_to_wait, yielded
from caas_trio.drivers.wanted import READ_AHEAD

from .test_connection import LIMITS, MUCH, Pair, pair, stuck_pair

__all__ = ["pair", "stuck_pair"]


async def test_the_end_of_the_input_is_seen_without_reading(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(b"queued\nbe")
    seen = trio.Event()

    async def watch() -> None:
        await pair.connection.wait_input_end()
        seen.set()

    nursery.start_soon(watch)
    await trio.testing.wait_all_tasks_blocked(0.01)
    assert not seen.is_set()
    with pytest.raises(StateError, match="busy"):
        await pair.connection.receive_line()
    await pair.client.send_all(b"gun")
    await pair.client.send_eof()
    await seen.wait()
    assert [line async for line in pair.connection] == [b"queued\n", b"begun"]
    await pair.connection.wait_input_end()
    nursery.cancel_scope.cancel()


async def test_a_silent_client_is_waited_for_without_a_timeout(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"begun")
    with trio.move_on_after(5 * LIMITS.idle_timeout) as wait:
        await pair.connection.wait_input_end()
    assert wait.cancelled_caught
    with pytest.raises(TooSlow, match="line timeout"):
        await pair.connection.receive_line()
    nursery.cancel_scope.cancel()


async def test_no_more_is_read_ahead_than_is_bounded(pair: Pair, nursery: trio.Nursery) -> None:
    await pair.client.send_all(MUCH[: READ_AHEAD - 1])
    nursery.start_soon(pair.connection.wait_input_end)
    await trio.testing.wait_all_tasks_blocked(0.05)
    nursery.start_soon(pair.client.send_all, MUCH[READ_AHEAD - 1 :])
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert len(pair.connection._buffer) == READ_AHEAD
    nursery.start_soon(pair.connection.wait_input_end)
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert len(pair.connection._buffer) == READ_AHEAD
    pair.drain.begin()
    await trio.testing.wait_all_tasks_blocked(0.05)
    assert await pair.connection.receive_exactly(READ_AHEAD) == MUCH[:READ_AHEAD]
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("kind", ["stream", "hub"])
async def test_a_task_that_waits_for_the_end_sees_a_reset(kind: str) -> None:
    pair = Pair(kind)
    async with trio.open_nursery() as nursery:
        if pair.hub is not None:
            nursery.start_soon(pair.hub.run)
        await pair.connection.send(b"unread")
        await pair.client.aclose()
        with pytest.raises(ConnectionLost):
            await pair.connection.wait_input_end()
        nursery.cancel_scope.cancel()
    pair.close()


async def test_the_drain_is_waited_for_by_any_number_of_tasks(pair: Pair, nursery: trio.Nursery) -> None:
    order: list[str] = []

    async def wait() -> None:
        await pair.connection.wait_draining()
        order.append("draining")

    nursery.start_soon(wait)
    nursery.start_soon(wait)
    await trio.testing.wait_all_tasks_blocked()
    order.append("begin")
    pair.drain.begin()
    await trio.testing.wait_all_tasks_blocked()
    assert order == ["begin", "draining", "draining"]
    await wait()
    await pair.connection.wait_input_end()
    nursery.cancel_scope.cancel()


async def test_limits_change_for_one_connection(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    connection = pair.connection
    assert (connection.max_line, connection.idle_timeout) == (LIMITS.max_line, LIMITS.idle_timeout)
    assert (connection.line_timeout, connection.write_timeout) == (LIMITS.line_timeout, LIMITS.write_timeout)
    connection.max_line = 3
    await pair.client.send_all(b"abcd\nab")
    with pytest.raises(LineTooLong):
        await connection.receive_line()
    connection.line_timeout = 2
    with pytest.raises(TooSlow, match="line timeout"):
        await connection.receive_line()
    assert trio.current_time() == pytest.approx(2, abs=0.5)
    await pair.client.send_all(b"\n")
    assert await connection.receive_line() == b"ab\n"
    connection.idle_timeout = 8
    begun = trio.current_time()
    with pytest.raises(TooSlow, match="idle timeout"):
        await connection.receive_line()
    assert trio.current_time() - begun == pytest.approx(8, abs=1.1)
    nursery.cancel_scope.cancel()


async def test_a_short_timeout_of_one_connection_is_not_late(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """The hub looks at all timeouts once a second, and eight times within the shortest there is."""
    await trio.sleep(0.3)
    pair.connection.idle_timeout = 0.08
    begun = trio.current_time()
    with pytest.raises(TooSlow):
        await pair.connection.receive_line()
    assert trio.current_time() - begun == pytest.approx(0.1, abs=0.03)
    nursery.cancel_scope.cancel()


async def test_a_timeout_that_changes_while_a_task_reads(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    """On the hub; a stream's read keeps the timeout it began with."""
    pair = Pair("hub")
    assert pair.hub is not None
    nursery.start_soon(pair.hub.run)
    failures: list[str] = []

    async def read() -> None:
        try:
            await pair.connection.receive_line()
        except TooSlow as error:
            failures.append(error.limit)

    nursery.start_soon(read)
    await trio.sleep(1)
    pair.connection.idle_timeout = 2
    await trio.sleep(2.5)
    assert failures == ["idle_timeout"]
    pair.close()
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_line", 0), ("idle_timeout", -1), ("line_timeout", math.nan), ("write_timeout", -0.1)],
)
async def test_a_limit_out_of_its_range_changes_nothing(
    name: str, value: float, pair: Pair, nursery: trio.Nursery
) -> None:
    with pytest.raises(LimitError, match=name):
        setattr(pair.connection, name, value)
    assert getattr(pair.connection, name) == getattr(LIMITS, name)
    nursery.cancel_scope.cancel()


async def test_a_write_timeout_of_its_own(
    stuck_pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    stuck_pair.connection.write_timeout = 3
    with pytest.raises(TooSlow, match="write timeout"):
        await stuck_pair.connection.send(MUCH)
    assert trio.current_time() == pytest.approx(3)
    nursery.cancel_scope.cancel()


async def test_what_is_here_is_taken_without_waiting(pair: Pair, nursery: trio.Nursery) -> None:
    connection = pair.connection
    assert connection.take_exactly(0) == b""
    assert connection.take_line() is None
    await pair.client.send_all(b"one\ntwo\n5bytes" + b"x" * 21 + b"\nlast")
    assert await connection.receive_line() == b"one\n"
    assert connection.take_line() == b"two\n"
    assert connection.take_exactly(6) == b"5bytes"
    with pytest.raises(LineTooLong):
        connection.take_line()
    assert connection.take_exactly(50) is None
    assert connection.take_exactly(0) == b""
    assert connection.take_line() is None
    with pytest.raises(LimitError):
        connection.take_exactly(-1)
    await pair.client.send_eof()
    await connection.wait_input_end()
    assert connection.take_line() == b"last"
    assert connection.take_line() is None
    await connection.aclose()
    with pytest.raises(StateError):
        connection.take_line()
    with pytest.raises(StateError):
        connection.take_exactly(1)
    nursery.cancel_scope.cancel()


async def test_receive_some_returns_64_kib_at_most_unless_more_is_asked_for(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    nursery.start_soon(pair.client.send_all, MUCH)
    with trio.move_on_after(1):
        await pair.connection.receive_exactly(len(MUCH) + 1)
    assert len(await pair.connection.receive_some()) == 65536
    assert len(await pair.connection.receive_some(100_000)) == 100_000
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("take", [Connection.take_line, lambda connection: connection.take_exactly(2)])
async def test_others_have_their_turn_although_all_is_here(
    take: Callable[[Connection], bytes | None], pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"a\n" * 1000)
    await pair.connection.receive_line()
    taken = 0
    while take(pair.connection) is not None:
        taken += 1
    assert taken == 128
    assert pair.connection.take_line() is pair.connection.take_exactly(2) is None
    assert await pair.connection.receive_line() == b"a\n"
    nursery.cancel_scope.cancel()


@pytest.mark.parametrize("count", [-1, 6])
async def test_a_count_beyond_its_limit_is_the_peers_fault(
    count: int, pair: Pair, nursery: trio.Nursery
) -> None:
    await pair.client.send_all(b"hello!")
    with pytest.raises(CountRefused, match=f"^{count} bytes where 0 to 5 are accepted$") as caught:
        await pair.connection.receive_exactly(count, limit=5)
    assert (caught.value.count, caught.value.limit) == (count, 5)
    assert caught.value.connection is pair.connection
    assert await pair.connection.receive_exactly(0, limit=5) == b""
    assert await pair.connection.receive_exactly(5, limit=5) == b"hello"
    nursery.cancel_scope.cancel()


async def test_a_body_is_skipped_without_being_held(pair: Pair, nursery: trio.Nursery) -> None:
    async def feed() -> None:
        await pair.client.send_all(MUCH + b"next\nend")
        await pair.client.send_eof()

    nursery.start_soon(feed)
    await pair.connection.skip(len(MUCH))
    await pair.connection.skip(0)
    assert await pair.connection.receive_line() == b"next\n"
    with pytest.raises(LimitError, match=r"^count is -1; it must be 0 or more$"):
        await pair.connection.skip(-1)
    with pytest.raises(InputEnded, match=r"^the input ended after 3 of 4 bytes$"):
        await pair.connection.skip(4)
    nursery.cancel_scope.cancel()


async def test_a_body_that_drips_is_too_slow(
    pair: Pair, autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    async def drip() -> None:
        while True:
            await pair.client.send_all(b"x")
            await trio.sleep(LIMITS.line_timeout / 4)

    nursery.start_soon(drip)
    with pytest.raises(TooSlow, match="line timeout"):
        await pair.connection.skip(1000)
    nursery.cancel_scope.cancel()


def test_a_parked_task_asks_trio_for_what_trio_would_ask() -> None:
    def abort(_: object) -> trio.lowlevel.Abort:
        raise AssertionError

    assert request_to_wait(abort) == yielded(abort)
    assert request_to_wait(abort) != yielded(trio.lowlevel.Abort)
