"""The control protocol: what a supervisor and its workers send each other."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
from itertools import pairwise

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st
from trio.testing import MockClock

from caas_trio.program.control import Control
from caas_trio.program.messages import (
    MAX_MESSAGE_BYTES,
    ControlError,
    ControlLines,
    Kind,
    Message,
    SharedSocket,
    WorkerConfig,
    parse_messages,
)

ANY_TEXT = st.text(st.characters(exclude_categories=())).filter(lambda text: "\0" not in text)

CONFIGS = st.builds(
    WorkerConfig,
    arguments=st.lists(ANY_TEXT),
    config=st.dictionaries(ANY_TEXT, ANY_TEXT | st.booleans() | st.lists(ANY_TEXT)),
    directory=st.none() | ANY_TEXT,
    sockets=st.lists(
        st.builds(
            SharedSocket, asked=ANY_TEXT, endpoint=ANY_TEXT, descriptors=st.lists(st.integers(0, 1 << 31))
        )
    ),
    slot=st.integers(0),
    watchdog_interval=st.floats(0) | st.just(math.inf),
    metrics_folder=st.none() | ANY_TEXT,
    turn_interval=st.floats(0) | st.just(math.inf),
    stacks=st.none() | st.integers(0, 1 << 31),
)


def parsed(*chunks: bytes) -> list[Message | str]:
    """Return the messages in some chunks, and what is wrong with the rest."""
    messages: list[Message | str] = []
    try:
        messages.extend(parse_messages(chunks))
    except ControlError as error:
        messages.append(str(error))
    return messages


@settings(max_examples=50)
@given(CONFIGS)
def test_a_config_round_trips_as_one_line(config: WorkerConfig) -> None:
    line = config.to_line()
    assert line.isascii()
    assert "\n" not in line
    assert WorkerConfig.from_line(line) == config


@given(st.sampled_from([Kind.FAILED, Kind.MISUSED, Kind.NO_ROOM]), ANY_TEXT)
def test_a_reason_is_made_printable(kind: Kind, reason: str) -> None:
    [message] = parsed(Message(kind, reason).to_line().encode() + b"\n")
    assert isinstance(message, Message)
    assert message.kind is kind
    assert message.reason.isprintable()
    if reason.isprintable():
        assert message.reason == reason[:1000]


@pytest.mark.parametrize("reason", ["\ud800" * 5000, "\U000e0001" * 5000, "\n" * 5000])
def test_the_longest_reason_is_within_the_limit(reason: str) -> None:
    line = Message(Kind.FAILED, reason).to_line().encode()
    assert len(line) <= MAX_MESSAGE_BYTES
    assert len(parsed(line + b"\n")) == 1


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"\xff\n", "a line is not UTF-8"),
        (b"\xed\xa0\x80\n", "a line is not UTF-8"),
        (b"x" * (MAX_MESSAGE_BYTES + 1), f"a line is longer than {MAX_MESSAGE_BYTES} bytes"),
        (b"\n", "'' is no message"),
        (b"READY\n", "'READY' is no message"),
        (b"ready\r\n", "'ready\\\\r' is no message"),
        (b"\x1b[2J" + b"x" * 100 + b"\n", "'\\\\x1b[2J" + 46 * "x" + "' is no message"),
        (b"ready \n", "ready comes with a reason"),
        (b"failed\n", "failed comes without a reason"),
        (b"turned 1\n", "turned comes with a reason"),
        (b"drain\n", "drain comes without a reason"),
        (b"drain -1\n", "drain comes without a number of seconds"),
        (b"drain nan\n", "drain comes without a number of seconds"),
        (b"drain 1e9\n", "drain comes without a number of seconds"),
    ],
)
def test_an_invalid_message_is_refused_with_the_reason(sent: bytes, error: str) -> None:
    assert parsed(b"alive\n" + sent) == [Message(Kind.ALIVE), error]


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"ready\nalive\nready\n", "ready comes twice"),
        (b"drain 1\ndrain inf\n", "drain comes twice"),
        (b"drain 1\nready\ndrain inf\n", "drain comes twice"),
        (b"ready\nalive\ndrain inf\n", "drain comes after ready"),
        (b"failed a\nalive\n", "alive comes after failed"),
        (b"no-room a\nfailed b\n", "failed comes after no-room"),
    ],
)
def test_messages_out_of_order_are_refused(sent: bytes, error: str) -> None:
    assert parsed(sent)[-1] == error


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.000"), (0.25, "0.250"), (999999999, "999999999.000"), (1e9, "inf"), (math.inf, "inf")],
)
def test_a_worker_reports_its_drain_timeout(seconds: float, text: str) -> None:
    message = Message.drain(seconds)
    assert parsed(f"{message.to_line()}\n".encode()) == [message]
    assert message.reason == text


LINES = st.sampled_from(
    [b"alive\n", b"ready\n", b"failed no \xe2\x82\xac\n", b"no-room \x1b\n", b"drain 1\n", b"\xff\n", b"x"]
)


@given(st.lists(LINES | st.binary(max_size=20)), st.lists(st.integers(0, 100)))
def test_garbage_from_a_worker_is_always_a_protocol_error(lines: list[bytes], cuts: list[int]) -> None:
    sent = b"".join(lines)
    whole = parsed(sent)
    edges = sorted([0, *(min(cut, len(sent)) for cut in cuts), len(sent)])
    assert parsed(*(sent[start:end] for start, end in pairwise(edges) if end > start)) == whole
    assert all(isinstance(each, Message) for each in whole[:-1])
    assert all(str(each).isprintable() for each in whole)


def test_an_endless_line_is_not_buffered() -> None:
    lines = ControlLines(10)
    for _ in range(10):
        lines.feed(b"x")
        assert lines.next_line() is None
    lines.feed(b"x")
    with pytest.raises(ControlError):
        lines.next_line()


async def test_lines_go_both_ways_until_one_end_is_closed() -> None:
    ours, theirs = map(Control, socket.socketpair())
    ours.send_nowait("ready")
    ours.send_nowait("failed for a reason")
    long = "x" * 3_000_000
    async with trio.open_nursery() as nursery:
        nursery.start_soon(theirs.send, long)
        assert await ours.next_line() == long
    assert [await theirs.next_line() for _ in range(2)] == ["ready", "failed for a reason"]
    ours.close()
    assert await theirs.next_line() is None
    theirs.send_nowait("lost")
    await theirs.send("lost, too")
    theirs.close()


async def test_a_reset_counts_as_closed() -> None:
    ours, theirs = map(Control, socket.socketpair())
    theirs.send_nowait("unread")
    ours.close()
    assert await theirs.next_line() is None
    theirs.close()


async def test_a_flood_of_lines_is_read_at_a_bounded_rate(autojump_clock: MockClock) -> None:
    ours, sock = socket.socketpair()
    control = Control(ours, pause_s=1)
    sock.sendall(b"alive\n" * 10_000)
    for _ in range(10_000):
        assert await control.next_line() == "alive"
    assert autojump_clock.current_time() == pytest.approx(60_000 // 4096, abs=1)
    control.close()
    sock.close()


async def test_the_channel_is_not_inheritable() -> None:
    ours, theirs = socket.socketpair()
    ours.set_inheritable(True)
    control = Control(ours)
    probe = "import os, sys; os.fstat(int(sys.argv[1]))"
    command = [sys.executable, "-c", probe, str(ours.fileno())]
    done = subprocess.run(command, close_fds=False, check=False, capture_output=True)  # noqa: ASYNC221
    assert b"Bad file descriptor" in done.stderr
    assert not os.get_inheritable(ours.fileno())
    control.close()
    theirs.close()
