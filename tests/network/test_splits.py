"""`caas_trio.testing.check_any_split`: servers that depend on cuts are found, others are not."""

from __future__ import annotations

import re

import pytest
import trio
from trio.testing import MockClock

from caas_trio import App, Connection, First, Limits, LineSession, UsageError
from caas_trio.testing import CheckFailed, check_any_split
from caas_trio.testing.failure import described
from caas_trio.testing.splits import _cuts

LONG = b"a line\r\nand another\n\nand the last"


async def shout(connection: Connection) -> None:
    async for line in connection:
        await connection.send(line.upper())


async def takes_a_chunk_for_a_line(connection: Connection) -> None:
    while chunk := await connection.receive_some():
        await connection.send(b"%d\n" % len(chunk))


async def loses_the_lf_after_a_cut_cr(connection: Connection) -> None:
    kept = b""
    while chunk := await connection.receive_some():
        kept += b" | " if chunk.startswith(b"\n") and kept.endswith(b"\r") else b""
        kept += chunk
    await connection.send(kept)


async def stumbles_over_a_cut(connection: Connection) -> None:
    if await connection.receive_some() != b"hello\n":
        raise ValueError("what is that")
    await connection.send(b"hello\n")


async def wants_two_cuts(connection: Connection) -> None:
    """Answer in another way if there are more than two chunks, the first of which is one byte."""
    chunks = [await connection.receive_some()]
    while chunk := await connection.receive_some():
        chunks.append(chunk)
    await connection.send(b"many" if len(chunks) > 2 and len(chunks[0]) == 1 else b"few")


@pytest.mark.parametrize("data", [b"", b"x", b"hi\r\nyou", LONG])
@pytest.mark.parametrize("app", [shout, bytes.upper])
async def test_a_right_server_passes(app: object, data: bytes, autojump_clock: MockClock) -> None:
    assert await check_any_split(app, data, rounds=10) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("first", First)
async def test_each_order_passes(first: First, autojump_clock: MockClock) -> None:
    app = App(session=lambda: LineSession(bytes.upper, first))
    assert await check_any_split(app, b"hi\nyou\n") is None  # type: ignore[func-returns-value]


async def test_more_replies_than_buffers_hold_are_read_by_a_client_that_reads_last(
    autojump_clock: MockClock,
) -> None:
    async def talkative(connection: Connection) -> None:
        async for _ in connection:
            await connection.send(bytes(300_000))

    limits = Limits(write_timeout=100)
    assert await check_any_split(talkative, b"a\nb\n", limits=limits) is None  # type: ignore[func-returns-value]


async def test_the_message_shows_both_conversations(autojump_clock: MockClock) -> None:
    with pytest.raises(CheckFailed) as raised:
        await check_any_split(takes_a_chunk_for_a_line, b"hello\n", seed=3)
    assert str(raised.value).splitlines() == [
        "the reply depends on how the input is cut",
        r"  sent:  b'hello\n'",
        r"  reply: b'6\n', then the end",
        r"  sent:  b'h' | b'ello\n'",
        r"  reply: b'1\n5\n', then the end",
    ]
    [note] = raised.value.__notes__
    assert "what happened (seed 3)" in note
    assert re.search(r"0\.001000  connection 1, client to server  +arrived +b'ello", note)
    assert isinstance(raised.value, AssertionError)


async def test_long_data_are_abridged(autojump_clock: MockClock) -> None:
    with pytest.raises(CheckFailed, match=r"' \(380 bytes\) b'x+'"):
        await check_any_split(takes_a_chunk_for_a_line, b"x" * 500)


@pytest.mark.parametrize(
    ("app", "data", "smallest"),
    [
        (loses_the_lf_after_a_cut_cr, b"hello\r\nyou\r\n", r"b'hello\r' | b'\nyou\r\n'"),
        (wants_two_cuts, b"hello\n", r"b'h' | b'e' | b'llo\n'"),
        (wants_two_cuts, b"hello to all of you\n", r"b'h' | b'ello to all of you' | b'\n'"),
    ],
)
async def test_the_smallest_cut_is_shown(
    app: object, data: bytes, smallest: str, autojump_clock: MockClock
) -> None:
    with pytest.raises(CheckFailed) as raised:
        await check_any_split(app, data)
    assert f"  sent:  {smallest}\n" in str(raised.value)


async def test_what_the_app_raises_is_shown_with_the_cut(autojump_clock: MockClock) -> None:
    with pytest.raises(CheckFailed) as raised:
        await check_any_split(stumbles_over_a_cut, b"hello\n")
    assert str(raised.value).startswith("the app has raised ValueError: what is that (")
    assert r"b'h' | b'ello\n'" in str(raised.value)
    assert isinstance(raised.value.__cause__, ValueError)


async def test_a_server_that_never_ends_is_compared_with_itself(autojump_clock: MockClock) -> None:
    async def hangs_after_a_cut(connection: Connection) -> None:
        if await connection.receive_some() == b"hello\n":
            return
        await connection.send(b"what?\n")
        await trio.sleep(40)

    with pytest.raises(CheckFailed, match=r"b'what\?\\n', then nothing more within 30 seconds"):
        await check_any_split(hangs_after_a_cut, b"hello\n", limits=Limits(drain_timeout=60))


async def test_a_reset_makes_a_difference(autojump_clock: MockClock) -> None:
    async def resets_after_a_cut(connection: Connection) -> None:
        if await connection.receive_exactly(1) and connection.take_exactly(1) is None:
            await trio.sleep(0.01)
            await connection.aclose()
        await connection.wait_input_end()

    with pytest.raises(CheckFailed, match=r"then a reset"):
        await check_any_split(resets_after_a_cut, b"hello\n")


async def test_a_reply_that_depends_on_when_the_client_reads_is_shown(autojump_clock: MockClock) -> None:
    times: list[float] = []

    async def impatient(connection: Connection) -> None:
        """Reply how long the first half of a large reply took to be sent."""
        await connection.receive_exactly(2)
        begun = trio.current_time()
        await connection.send(bytes(200_000))
        times.append(trio.current_time() - begun)
        await connection.send(b"slow\n" if trio.current_time() > begun else b"fast\n")

    with pytest.raises(CheckFailed, match="read once all was sent"):
        await check_any_split(impatient, b"abc\n")
    assert max(times) > 0


def test_short_input_is_cut_in_all_ways_and_long_input_in_each_single_one() -> None:
    assert len(set(_cuts(8, 0, 0))) == 2**7 - 1
    assert list(_cuts(1, 0, 5)) == list(_cuts(0, 0, 5)) == []
    cuts = list(_cuts(100, 0, 20))
    assert cuts[:99] == [(place,) for place in range(1, 100)]
    assert cuts[99] == tuple(range(1, 100))
    assert len(cuts) == 120
    assert all(list(cut) == sorted(set(cut)) and 2 <= len(cut) <= 12 for cut in cuts[100:])
    assert cuts[100:] != list(_cuts(100, 1, 20))[100:]


async def test_a_clock_that_does_not_jump_is_refused(mock_clock: MockClock) -> None:
    with pytest.raises(UsageError, match="check_any_split needs a clock that jumps"):
        await check_any_split(shout, b"hello\n")


async def test_the_real_clock_is_refused() -> None:
    with pytest.raises(UsageError, match="check_any_split needs a clock that jumps"):
        await check_any_split(shout, b"hello\n")


@pytest.mark.parametrize(("rounds", "delay"), [(-1, 0.1), (1, 0), (1, float("nan"))])
async def test_numbers_out_of_range_are_refused(rounds: int, delay: float, autojump_clock: MockClock) -> None:
    with pytest.raises(UsageError, match="rounds of 0 or more"):
        await check_any_split(shout, b"hello\n", rounds=rounds, delay=delay)


def test_a_group_of_errors_is_described_by_its_first() -> None:
    group = ExceptionGroup("two", [ValueError("what is that"), OSError("no room")])
    assert described([group, OSError("no room")]) == "ValueError: what is that; OSError: no room"
