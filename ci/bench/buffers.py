"""`LineBuffer` alone beside `asyncio.StreamReader`: in one process, without sockets, interleaved.

A StreamReader needs an event loop, so it is measured in one, each chunk arriving in a turn of its own. With
its coroutine resumed by hand one sees the least it can cost, and how much of the rest is the loop.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from ci.bench.works import Work

BUFFER = "LineBuffer"
READER = "asyncio.StreamReader"
READER_BY_HAND = "asyncio.StreamReader, by hand"
SUBJECTS = (BUFFER, READER, READER_BY_HAND)

_LIMIT = 1 << 20
_CHUNK_SIZES = {"linebuffer/bytes": 1, "linebuffer/chunks": 1460, "linebuffer/blocks": 1 << 16}


def chunks_of(work: Work) -> list[bytes]:
    """Return what `work` feeds: one long line cut into bytes, or 1 MiB of short lines cut into chunks."""
    size = _CHUNK_SIZES[work.name]
    line = b"x" * (work.line - 1) + b"\n"
    stream = line if size == 1 else line * (_LIMIT // work.line)
    return [stream[i : i + size] for i in range(0, len(stream), size)]


def _buffer(chunks: Sequence[bytes], *, blocks: bool) -> int:
    """Return how many bytes come out of a LineBuffer, line by line or as blocks of lines."""
    from caas_trio import LineBuffer  # noqa: PLC0415 - the tables above can be read without the package

    buffer = LineBuffer(max_line=_LIMIT)
    taken = 0
    for chunk in chunks:
        buffer.feed(chunk)
        if blocks:
            taken += len(buffer.take_lines())
            continue
        while (line := buffer.next_line()) is not None:
            taken += len(line)
    return taken


async def _reader(chunks: Sequence[bytes]) -> int:
    """Return how many bytes come out of a StreamReader in the running event loop."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=_LIMIT)
    coming = iter(chunks)

    def arrive() -> None:
        if (chunk := next(coming, None)) is None:
            reader.feed_eof()
        else:
            reader.feed_data(chunk)
            loop.call_soon(arrive)

    loop.call_soon(arrive)
    taken = 0
    while line := await reader.readline():
        taken += len(line)
    return taken


def _reader_by_hand(chunks: Sequence[bytes]) -> int:
    """Return how many bytes come out of a StreamReader whose coroutine is resumed here."""
    loop = asyncio.new_event_loop()
    reader = asyncio.StreamReader(limit=_LIMIT, loop=loop)
    waiting = reader.readline()
    waiting.send(None)
    taken = 0
    for chunk in chunks:
        reader.feed_data(chunk)
        while True:
            try:
                waiting.send(None)
            except StopIteration as stop:
                taken += len(stop.value)
                waiting = reader.readline()
            else:
                break
    waiting.close()
    loop.close()
    return taken


def _take(subject: str, work: Work, chunks: Sequence[bytes]) -> int:
    if subject == BUFFER:
        return _buffer(chunks, blocks=work.name == "linebuffer/blocks")
    if subject == READER:
        return asyncio.run(_reader(chunks))
    return _reader_by_hand(chunks)


def rate(
    subject: str, work: Work, seconds: float, take: Callable[[str, Work, Sequence[bytes]], int] = _take
) -> float:
    """Return how many MB/s `subject` turns into lines.

    It makes as many whole passes as `seconds` hold, and at least one.

    Raises:
        RuntimeError: bytes were lost on the way.
    """
    chunks = chunks_of(work)
    whole = sum(map(len, chunks))
    passes = 0
    began = time.perf_counter()
    while passes == 0 or time.perf_counter() < began + seconds:
        if take(subject, work, chunks) != whole:
            raise RuntimeError(f"{subject} lost bytes in {work.name}")
        passes += 1
    return passes * whole / (time.perf_counter() - began) / 1e6
