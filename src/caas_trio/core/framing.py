"""Lines out of chunks: `LineBuffer`, an incremental buffer with a limit.

A line ends with one LF byte and with nothing else; CR is payload. `max_line` counts every byte
before the LF. Whether a line is oversize is a function of the line alone: it depends neither on how
the stream was cut into chunks nor on whether the LF is already there.

The work is linear both for one long line fed a byte at a time (a search goes on where the last one
stopped) and for many short lines in one chunk (they are taken as one block, and deleting from the
front of a `bytearray` only moves its start). So it is for every mixture of calls, oversize lines
included, but for one: a `take_until` in vain looks again at all that is held if the one before it was
for another delimiter.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
from typing import Final, NoReturn, TypeAlias

from .errors import LimitError, LineTooLong, StateError

LF: Final = b"\n"
#: Bytes before the LF. 64 KiB is what asyncio and Go's Scanner allow; JSON lines often need more.
DEFAULT_MAX_LINE: Final = 65536

_NOT_SOUGHT: Final = (LF, 0)

Chunk: TypeAlias = bytes | bytearray | memoryview


class _Front(enum.Enum):
    """What is known of the line at the front of the buffer."""

    WITHIN = "within the limit as far as it is here"
    SKIPPED = "oversize and reported; its rest is dropped as it comes in"
    STREAMED = "oversize and begun by `take_pieces`; its rest is taken as it comes in"


# Found faster than on the class, before Python 3.12.
_WITHIN: Final = _Front.WITHIN
_SKIPPED: Final = _Front.SKIPPED
_STREAMED: Final = _Front.STREAMED


def line_limit(value: int) -> int:
    """Return `value` if it can be a `max_line`; raise `LimitError` otherwise."""
    if value < 1:
        raise LimitError("max_line", value, "a positive number of bytes")
    return value


def _count(name: str, value: int, least: int = 1) -> int:
    """Return `value` if so many bytes can be taken; raise `LimitError` otherwise."""
    if value < least:
        raise LimitError(name, value, f"{least} or more")
    return value


class LineBuffer:
    r"""An incremental buffer that turns chunks into lines.

    `feed` what arrives, then take until nothing comes back. Three ways of taking share one state
    and may be mixed: `next_line` (one line), `take_lines` (all complete lines as one block) and
    `take_pieces` (all that may be answered now, oversize lines included). Each returns the bytes
    exactly as they came, terminators included; only a last line that the end of input cut off lacks
    its LF, and that is its mark.

    A caller who takes until nothing comes back before feeding again makes the buffer hold at most
    `max_line` bytes plus one chunk, and nothing while the rest of an oversize line is dropped.

    Raises `LineTooLong` (from `next_line` and `take_lines`), `StateError` (from `feed` and
    `end_of_input`, once the input has ended) and `LimitError` (for a limit or a count outside its
    range, with nothing taken). Anything else that escapes is a bug.

    Args:
        max_line: the most bytes a line may have before its LF; a CR counts.

    Attributes:
        ended: whether `end_of_input` has been called.
        oversize_lines: how many times `LineTooLong` was raised.
    """

    __slots__ = (
        "_buffer",
        "_finished",
        "_front",
        "_max_line",
        "_searched",
        "_skip_tail",
        "_skip_to",
        "_sought",
        "_streamed",
        "ended",
        "oversize_lines",
    )

    def __init__(self, max_line: int = DEFAULT_MAX_LINE) -> None:
        self._buffer = bytearray()
        self._searched = 0  # no LF begins in the first so many bytes
        self._sought = _NOT_SOUGHT  # by `take_until`: what, and up to where in vain
        self._skip_to = LF  # while SKIPPED: what ends it,
        self._skip_tail = b""  # and the last bytes dropped, which may have begun it
        self._front = _WITHIN
        self._finished = 0  # counts ends of lines, and `max_line`s of pieces; see `unfinished`
        self._streamed = 0  # while STREAMED: bytes of pieces since the last of these
        self.ended = False
        self.oversize_lines = 0
        self.max_line = max_line

    @property
    def max_line(self) -> int:
        """The most bytes a line may have before its LF.

        A new limit counts at once, for the line that is being received as well. Setting it raises
        `LimitError` unless it is a positive whole number.
        """
        return self._max_line

    @max_line.setter
    def max_line(self, value: int) -> None:
        self._max_line = line_limit(value)

    @property
    def unfinished(self) -> int:
        """A number for the line that is being received; 0 if none is begun.

        It changes when the line ends, and with `take_pieces` also for each `max_line` bytes of it:
        the same number after a while means that the line has made no such step.
        """
        begun = self._buffer or self._front is not _WITHIN
        return self._finished + 1 if begun and not self.ended else 0

    def __len__(self) -> int:
        """Return how many bytes are held: received, not dropped, not yet taken."""
        return len(self._buffer)

    def feed(self, chunk: Chunk) -> None:
        """Take in what one read gave; an empty chunk changes nothing.

        The bytes are copied: the caller may use the chunk's memory again.

        Raises:
            StateError: the input has ended.
        """
        if self.ended:
            raise StateError("feed", "ended")
        if self._front is _SKIPPED:
            self._skip(bytes(chunk))
        else:
            self._buffer += chunk

    def end_of_input(self) -> None:
        """Note that nothing more will come; what is left without an LF becomes the last line.

        Raises:
            StateError: the input has already ended.
        """
        if self.ended:
            raise StateError("end_of_input", "ended")
        self.ended = True

    def next_line(self, chunk: Chunk = b"") -> bytes | None:
        """Feed `chunk`, then take the next line, its LF included; None if no line is complete yet.

        After `end_of_input`, bytes left without an LF are returned once, as the last line.

        Raises:
            LineTooLong: the next line is oversize. The call after this one goes on behind that
                line, however much of it is still to come.
            StateError: there is a chunk, and the input has ended.
        """
        buffer = self._buffer
        if chunk:
            if (  # the next line and nothing else: returned as it is, which spares two copies
                not buffer
                and isinstance(chunk, bytes)
                and chunk.find(LF, 0, self._max_line + 1) + 1 == len(chunk)
                and self._front is not _SKIPPED
                and not self.ended
            ):
                self._front = _WITHIN
                self._finished += 1
                return chunk
            self.feed(chunk)
        if not buffer:
            return None
        found = buffer.find(LF, self._searched, self._max_line + 1)
        if found < 0 and len(buffer) <= self._max_line and not self.ended:
            self._searched = len(buffer)
            return None
        if found < 0:
            end = self._first_end(buffer)
        else:
            end = found + 1
            self._front = _WITHIN
            self._finished += 1
        self._searched = 0
        if self._sought is not _NOT_SOUGHT:
            self._move_sought(end)
        line = bytes(buffer[:end])
        del buffer[:end]
        return line

    def take_lines(self, chunk: bytes = b"") -> bytes:
        """Feed `chunk`, then take all complete lines up to the first oversize one, as one block.

        b"" if there is none. After `end_of_input`, the block includes the last line, which may lack
        its LF.

        Raises:
            LineTooLong: the first line is oversize. The call after this one goes on behind it.
            StateError: there is a chunk, and the input has ended.
        """
        source = self._source(chunk)
        end = self._first_end(source)
        if not end:
            return self._take(source, 0, searched=len(source))
        # From a line's start the last LF within reach ends a line that is within the limit, and so
        # are all lines before it. Each search walks back no further than the next hop leads forward.
        reach = self._max_line + 1
        while (last := source.rfind(LF, end, end + reach)) >= 0:
            end = last + 1
        left = len(source) - end
        if self.ended and left <= self._max_line:
            end, left = end + left, 0
        return self._take(source, end, searched=min(left, reach))

    def take_pieces(self, chunk: bytes = b"") -> bytes:
        """Feed `chunk`, then take all that may be answered now; b"" if that is nothing.

        That is every complete line, and of an unfinished one everything as soon as it is oversize,
        then its rest as it comes in. Where an oversize line is cut depends on the chunks; the bytes
        taken in sum do not. After `end_of_input`, an unfinished line is taken as well.

        Raises:
            StateError: there is a chunk, and the input has ended.
        """
        source = self._source(chunk)
        last = source.rfind(LF, self._searched)
        if last >= 0:
            self._front = _WITHIN
            self._finished += 1
        left = len(source) - (last + 1)
        streamed = left + (self._streamed if self._front is _STREAMED else 0)
        if left > self._max_line and not self.ended:
            self._front = _STREAMED
        if self.ended or self._front is _STREAMED:
            steps, self._streamed = divmod(streamed, self._max_line)
            self._finished += steps
            return self._take(source, len(source), searched=0)
        return self._take(source, last + 1, searched=left)

    def take_until(self, delimiter: bytes) -> bytes | None:
        """Take everything up to the first `delimiter`, which is included; None if it is not here yet.

        `max_line` counts the bytes before the delimiter. After `end_of_input`, bytes left without
        one are returned once.

        Raises:
            LineTooLong: more than `max_line` bytes come before the delimiter. The call after this
                one goes on behind it, however much is still to come.
            LimitError: the delimiter is empty.
        """
        if not delimiter:
            raise LimitError("delimiter", delimiter, "one byte or more")
        reach = self._max_line + len(delimiter)
        sought, start = self._sought
        found = self._buffer.find(delimiter, start if sought == delimiter else 0, reach)
        if found >= 0:
            return self._take_front(found + len(delimiter))
        if len(self._buffer) >= (self._max_line + 1 if self.ended else reach):
            self._drop(self._buffer, delimiter)
        self._sought = (delimiter, max(0, len(self._buffer) - len(delimiter) + 1))
        return self.take_rest() or None if self.ended else None

    def take_line_piece(self, max_bytes: int) -> bytes | None:
        """Take the next line, or its first `max_bytes` bytes if it is longer; None if neither is here.

        `max_line` does not apply. After `end_of_input`, bytes left without an LF are returned.

        Raises:
            LimitError: `max_bytes` is less than 1.
        """
        _count("max_bytes", max_bytes)
        found = self._buffer.find(LF, self._searched, max_bytes)
        if found >= 0 or len(self._buffer) >= max_bytes:
            return self._take_front(found + 1 if found >= 0 else max_bytes)
        self._searched = len(self._buffer)
        return self.take_rest() or None if self.ended else None

    def take_exactly(self, count: int) -> bytes | None:
        """Take `count` bytes, which may be none; None while there are fewer.

        Raises:
            LimitError: `count` is negative.
        """
        return self._take_front(count) if len(self._buffer) >= _count("count", count, 0) else None

    def take_some(self, max_bytes: int) -> bytes:
        """Take what is held, but at most `max_bytes` bytes; b"" if nothing is held.

        Raises:
            LimitError: `max_bytes` is less than 1.
        """
        return self._take_front(min(_count("max_bytes", max_bytes), len(self._buffer)))

    def take_rest(self) -> bytes:
        """Take everything that is held, lines or not: the unread bytes, for whoever reads on."""
        return self._take_front(len(self._buffer))

    def _take_front(self, end: int) -> bytes:
        """Take so many bytes, which are held."""
        taken = self._take(self._buffer, end, searched=max(0, self._searched - end))
        self._finished += bool(taken)
        if self._front is _STREAMED and LF in taken:
            self._front = _WITHIN
        return taken

    def _source(self, chunk: bytes) -> bytes | bytearray:
        """Return what to take from: the chunk itself if nothing is held, which spares two copies."""
        if not chunk or self._buffer or self.ended or self._front is _SKIPPED:
            if chunk:
                self.feed(chunk)
            return self._buffer
        return chunk

    def _take(self, source: bytes | bytearray, end: int, *, searched: int) -> bytes:
        self._searched = searched
        if self._sought is not _NOT_SOUGHT:
            self._move_sought(end)
        taken = bytes(source) if end == len(source) else bytes(source[:end])
        if source is not self._buffer:
            self._buffer += source[end:]
        elif end == len(source):
            self._buffer.clear()
        else:
            del self._buffer[:end]
        return taken

    def _move_sought(self, taken: int) -> None:
        """Keep the place where `take_until` goes on, now that so many bytes leave the front."""
        delimiter, start = self._sought
        self._sought = (delimiter, max(0, start - taken))

    def _first_end(self, source: bytes | bytearray) -> int:
        """Return where the first line ends, 0 if it is not complete; report it if it is oversize."""
        reach = self._max_line + 1
        found = source.find(LF, self._searched, reach)
        if found >= 0:
            self._front = _WITHIN  # also behind pieces: their rest counts as a line here
            self._finished += 1
            return found + 1
        if len(source) >= reach:
            self._drop(source, LF)
        self._searched = len(source)
        return len(source) if self.ended else 0

    def _drop(self, source: bytes | bytearray, delimiter: bytes) -> NoReturn:
        """Drop an oversize line, as far as it is here, and report it.

        What is behind it stays where it is: many such lines in one chunk cost no copy each.
        """
        found = source.find(delimiter, self._max_line + 1)  # within the limit there is none
        if found < 0:
            end = len(source)
            self._front = _SKIPPED
            self._skip_to = delimiter
            self._skip_tail = bytes(source[max(0, end - len(delimiter) + 1) :])
        else:
            end = found + len(delimiter)
            self._front = _WITHIN
            self._finished += 1
        self._searched = 0
        self._sought = _NOT_SOUGHT
        if source is self._buffer:
            del self._buffer[:end]
        else:
            self._buffer += memoryview(source)[end:]
        self.oversize_lines += 1
        raise LineTooLong(self._max_line)

    def _skip(self, chunk: bytes) -> None:
        """Drop what of a chunk belongs to an oversize line."""
        chunk = self._skip_tail + chunk
        found = chunk.find(self._skip_to)
        if found < 0:
            self._skip_tail = chunk[max(0, len(chunk) - len(self._skip_to) + 1) :]
        else:
            self._front = _WITHIN
            self._finished += 1
            self._buffer += chunk[found + len(self._skip_to) :]

    def _check_invariants(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests, after each step."""
        assert 0 <= self._searched <= len(self._buffer)  # noqa: S101 - this is what asserts are for
        assert LF not in self._buffer[: self._searched]  # noqa: S101
        assert not (self._front is _SKIPPED and self._buffer)  # noqa: S101
