"""`caas_trio.testing.check_hostile`: servers that do not stand bad clients are found, others are not.

Slow: each check plays a dozen clients, some of which send megabytes, under `tracemalloc`.
"""

from __future__ import annotations

import re
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
import trio
from trio.testing import MockClock

from caas_trio import App, Connection, ConnectionLost, First, Limits, LineSession, UsageError
from caas_trio.testing import CheckFailed, check_hostile

# Each check is a minute's work for a machine that is busy, and a few seconds for one that is not.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

#: Less than the default, for the sake of time: what a wrong server must not hold, and enough for a right one.
SMALL = 400_000
ENOUGH = 700_000


async def shout(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


def noting(lost: trio.Event) -> Callable[[Connection], Awaitable[None]]:
    """Return a handler that sets an event when it loses its client."""

    async def handle(connection: Connection) -> None:
        try:
            await shout(connection)
        except ConnectionLost:
            lost.set()
            raise

    return handle


async def test_a_right_handler_passes(autojump_clock: MockClock) -> None:
    assert await check_hostile(shout, max_memory=ENOUGH) is None  # type: ignore[func-returns-value]
    assert not tracemalloc.is_tracing()


async def test_right_sessions_pass_and_tracing_goes_on(autojump_clock: MockClock) -> None:
    app = App(session=lambda: LineSession(bytes.upper, First.EITHER))
    tracemalloc.start()
    try:
        assert await check_hostile(app, data=b"hello\nyou\n", max_memory=ENOUGH) is None  # type: ignore[func-returns-value]
        assert tracemalloc.is_tracing()
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def leaks_a_task() -> AsyncIterator[object]:
    async with trio.open_nursery() as nursery:

        async def handle(connection: Connection) -> None:
            nursery.start_soon(trio.sleep_forever)
            await shout(connection)

        yield handle
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def leaks_a_connection() -> AsyncIterator[object]:
    async def handle(connection: Connection) -> None:
        try:
            await shout(connection)
        except ConnectionLost:
            await trio.sleep(100)

    yield handle


async def dies_at_a_reset(connection: Connection) -> None:
    try:
        await shout(connection)
    except ConnectionLost as error:
        raise RuntimeError("where is the client") from error


@asynccontextmanager
async def takes_the_server_along() -> AsyncIterator[object]:
    lost = trio.Event()

    async def watch() -> None:
        await lost.wait()
        raise RuntimeError("what now")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch)
        yield noting(lost)
        nursery.cancel_scope.cancel()


async def buffers_without_bound(connection: Connection) -> None:
    received = b""
    while chunk := await connection.receive_some():
        received += chunk
    await connection.send(received.upper())


@asynccontextmanager
async def hangs_with_a_slow_reader() -> AsyncIterator[object]:
    one_at_a_time = trio.Lock()

    async def handle(connection: Connection) -> None:
        async for line in connection:
            async with one_at_a_time:
                await connection.send(line.upper())

    yield handle


async def wants_text(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.decode("ascii").upper().encode())


@asynccontextmanager
async def mixes_clients_up() -> AsyncIterator[object]:
    kept: list[bytes] = []

    async def handle(connection: Connection) -> None:
        while chunk := await connection.receive_some():
            kept.append(chunk)
            if chunk.endswith(b"\n"):
                await connection.send(b"".join(kept))
                kept.clear()

    yield handle


@asynccontextmanager
async def resets_others() -> AsyncIterator[object]:
    bad = False

    async def handle(connection: Connection) -> None:
        nonlocal bad
        try:
            if bad:
                await trio.sleep(0.1)
                await connection.aclose()
            else:
                await shout(connection)
        except ConnectionLost:
            bad = True
            raise

    yield handle


@asynccontextmanager
async def does_not_stop() -> AsyncIterator[object]:
    lost = trio.Event()
    yield noting(lost)
    if lost.is_set():
        await trio.sleep_forever()


@pytest.mark.parametrize(
    ("app", "message"),
    [
        (leaks_a_task, "while a client resets at once: 4 tasks more than before, 60 seconds after"),
        (leaks_a_connection, "while a client resets at once: 1 descriptor and 1 task more than before"),
        (
            dies_at_a_reset,
            "while a client resets at once: the app has raised RuntimeError: where is the client ",
        ),
        (takes_the_server_along, "while a client resets at once: AppError"),
        (
            buffers_without_bound,
            "while a client .*: [^ ]+ MiB are held, and 0.4 MiB may",
        ),
        (hangs_with_a_slow_reader, "while a client never reads: another client is not served within 10 sec"),
        (wants_text, "while a client sends garbage: the app has raised UnicodeDecodeError"),
        (mixes_clients_up, "while a client resets in the middle: another client gets b'helhello"),
        (resets_others, "while a client resets at once: another client is not served: .*reset"),
        (
            does_not_stop,
            "while a client resets at once: TimeoutError: the app's context manager was not left",
        ),
    ],
)
async def test_a_wrong_server_is_found(
    app: Callable[..., object], message: str, autojump_clock: MockClock
) -> None:
    with pytest.raises(CheckFailed) as raised:
        await check_hostile(app, max_memory=SMALL if "MiB" in message else ENOUGH, seed=2)
    assert re.search(message, str(raised.value))
    assert "what happened (seed 2):" in raised.value.__notes__[0]


async def test_a_client_that_reads_slowly_must_not_fill_the_memory(autojump_clock: MockClock) -> None:
    async def queues_replies(connection: Connection) -> None:
        send, receive = trio.open_memory_channel[bytes](10_000_000)

        async def write() -> None:
            async for line in receive:
                await connection.send(line)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(write)
            async with send:
                async for line in connection:
                    await send.send(line.upper())

    with pytest.raises(CheckFailed, match=r"while a client never reads: [\d.]+ MiB are held"):
        await check_hostile(queues_replies, max_memory=SMALL)


async def test_an_undisturbed_server_has_to_work(autojump_clock: MockClock) -> None:
    async def broken(connection: Connection) -> None:
        raise ValueError("a bug")

    with pytest.raises(ExceptionGroup, match="the app has failed"):
        await check_hostile(broken)


async def test_a_server_of_one_line_with_narrow_limits_may_refuse_the_crowd(
    autojump_clock: MockClock,
) -> None:
    async def answer_once(connection: Connection) -> None:
        await connection.send((await connection.receive_line()).upper())

    limits = Limits(max_per_host=2, idle_timeout=1, line_timeout=1, max_line=100)
    assert await check_hostile(answer_once, limits=limits, max_memory=ENOUGH) is None  # type: ignore[func-returns-value]


async def test_what_cannot_be_tried_is_refused(autojump_clock: MockClock) -> None:
    with pytest.raises(UsageError, match="needs data"):
        await check_hostile(shout, data=b"")
    with pytest.raises(UsageError, match="needs data"):
        await check_hostile(shout, max_memory=0)


async def test_the_real_clock_is_refused() -> None:
    with pytest.raises(UsageError, match="check_hostile needs a clock that jumps"):
        await check_hostile(shout)
