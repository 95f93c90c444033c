"""A log that never blocks: what is written, what is lost, and the line that says so."""

from __future__ import annotations

import errno
import os
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from caas_trio.observing.linewriter import MAX_LINE, MAX_WAITING, LineWriter

SECONDS = 30.0


def notice(lost: int) -> bytes:
    return b"lost %d\n" % lost


class Pipe:
    """A pipe, and what writes to it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        self.writer = LineWriter(self.writing, notice, retry_delay=0.001)

    def read(self) -> bytes:
        return os.read(self.reading, 1 << 20)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    assert pipe.writer.close(SECONDS)
    os.close(pipe.reading)
    os.close(pipe.writing)


class Disk:
    """What is written, and the errors that the next writes fail with; 0 is a write of three bytes."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.content = b""
        self.told = threading.Event()

    def write(self, fd: int, data: bytes) -> int:
        assert fd == -1
        number = self.errors.pop(0) if self.errors else None
        if number:
            raise OSError(number, os.strerror(number))
        written = data if number is None else data[:3]
        self.content += written
        if b"lost" in self.content:
            self.told.set()
        return len(written)

    def writer(self) -> LineWriter:
        return LineWriter(-1, notice, write=self.write, retry_delay=0.001)


def test_lines_are_written_in_order(pipe: Pipe) -> None:
    for number in range(1000):
        pipe.writer.write(b"%d\n" % number)
    assert pipe.writer.flush(SECONDS)
    assert pipe.read() == b"".join(b"%d\n" % number for number in range(1000))


def test_an_unread_pipe_blocks_no_caller(pipe: Pipe) -> None:
    line = b"a" * 99 + b"\n"
    number = 10 * MAX_WAITING // len(line)
    for _ in range(number):
        pipe.writer.write(line)  # none of these waits
    assert not pipe.writer.flush(0.001)
    heard = b""
    lost: list[int] = []
    while heard.count(line) + sum(lost) < number:
        heard += pipe.read()
        lost = [int(count) for count in re.findall(rb"^lost (\d+)\n", heard, re.MULTILINE)]
    assert heard.count(line) + sum(lost) == number
    assert set(heard.splitlines(keepends=True)) == {line, *map(notice, lost)}


def test_lines_of_two_processes_do_not_mix(pipe: Pipe) -> None:
    lines = [bytes([byte]) * (MAX_LINE - 1) + b"\n" for byte in b"abc"]
    others = [LineWriter(os.dup(pipe.writing), notice) for _ in lines]
    for _ in range(MAX_WAITING // MAX_LINE):
        for other, line in zip(others, lines, strict=True):
            other.write(line)
    heard = b""
    while len(heard) < MAX_WAITING * len(lines):
        heard += pipe.read()
    assert set(heard.splitlines(keepends=True)) == set(lines)
    for other in others:
        assert other.close(SECONDS)
        os.close(other._fd)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EPIPE, errno.EDQUOT])
def test_a_transient_error_drops_lines_and_counts_them(number: int) -> None:
    disk = Disk(number, number)
    writer = disk.writer()
    writer.write(b"one\n")
    assert writer.flush(SECONDS)
    assert disk.told.wait(SECONDS)  # with nothing else to write
    writer.write(b"two\n")
    assert writer.close(SECONDS)
    assert disk.content == b"lost 1\ntwo\n"


def test_lines_lost_together_with_the_notice_are_counted() -> None:
    disk = Disk(*[errno.ENOSPC] * 3)
    writer = LineWriter(-1, notice, write=disk.write, retry_delay=SECONDS)
    for line in (b"one\n", b"two\n", b"three\n"):
        writer.write(line)
        assert writer.flush(SECONDS)
    assert writer.close(SECONDS)
    assert disk.content == b"lost 2\nthree\n"


def test_after_a_partial_write_the_next_line_starts_anew() -> None:
    disk = Disk(0, errno.ENOSPC, 0, errno.ENOSPC)
    writer = LineWriter(-1, notice, write=disk.write, retry_delay=SECONDS)
    for line in (b"first\n", b"2nd\n"):
        writer.write(line)
        assert writer.flush(SECONDS)
    writer.write(b"third\n")
    assert writer.close(SECONDS)
    assert disk.content == b"fir\nlo\n2nd\nlost 1\nthird\n"


def test_a_non_blocking_descriptor_loses_no_line() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    full = threading.Event()

    def write(fd: int, data: bytes) -> int:
        try:
            return os.write(fd, data)
        except BlockingIOError:
            full.set()
            raise

    writer = LineWriter(writing, notice, write=write)
    lines = (b"a" * (MAX_LINE - 1) + b"\n") * (MAX_WAITING // MAX_LINE)
    writer.write(lines)
    assert full.wait(SECONDS)
    received = b""
    while len(received) < len(lines):
        received += os.read(reading, MAX_WAITING)
    assert writer.close(SECONDS)
    os.close(reading)
    os.close(writing)
    assert received == lines


@pytest.mark.parametrize(
    "lines",
    [
        b"a" * (3 * MAX_LINE),
        b"a" * (2 * MAX_LINE) + b"\nb\n",
        (b"a" * (MAX_LINE - 10) + b"\n") * 3,
        b"a\n" * MAX_LINE,
    ],
)
def test_several_lines_are_written_in_whole_lines(lines: bytes) -> None:
    written: list[bytes] = []

    def write(_: int, data: bytes) -> int:
        written.append(data)
        return len(data)

    writer = LineWriter(-1, notice, write=write)
    writer.write(lines)
    assert writer.close(SECONDS)
    assert b"".join(written) == lines
    assert all(each.count(b"\n") <= 1 or len(each) <= MAX_LINE for each in written)
    assert all(each.endswith(b"\n") for each in written[:-1])


def test_without_a_thread_lines_are_dropped_and_counted() -> None:
    disk = Disk()
    outcomes = [False, False, True]

    def start(thread: threading.Thread) -> None:
        if not outcomes.pop(0):
            raise RuntimeError("can't start new thread")
        thread.start()

    writer = LineWriter(-1, notice, write=disk.write, start=start)
    for line in (b"one\n", b"two\n", b"three\n"):
        writer.write(line)
    assert writer.close(SECONDS)
    assert disk.content == b"lost 2\nthree\n"


def test_signals_are_left_to_other_threads() -> None:
    blocked: list[set[int]] = []

    def write(_: int, data: bytes) -> int:
        blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        return len(data)

    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    writer = LineWriter(-1, notice, write=write)
    writer.write(b"a\n")
    assert writer.close(SECONDS)
    assert {signal.SIGTERM, signal.SIGINT, signal.SIGHUP} <= blocked[0]
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_close_without_writes_returns_at_once() -> None:
    assert LineWriter(-1, notice).close(SECONDS)


def test_close_gives_up_after_a_timeout() -> None:
    reading, writing = os.pipe()
    writer = LineWriter(writing, notice)
    writer.write(b"a\n" * MAX_WAITING)
    assert not writer.close(0.001)
    os.set_blocking(reading, False)
    while not writer.flush(0):
        with suppress(BlockingIOError):
            os.read(reading, MAX_WAITING)
    os.close(reading)
    os.close(writing)
