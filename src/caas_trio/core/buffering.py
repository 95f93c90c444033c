"""Bytes as they come in, and by count and by delimiter: `ByteBuffer`, which `LineBuffer` builds on.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
from typing import Final, NoReturn, TypeAlias

from .errors import LimitError, LineTooLong, PeerError, StateError
from .terminator import LF, Terminator

#: Bytes before the terminator. 64 KiB is what asyncio and Go's Scanner allow; JSON lines often need more.
DEFAULT_MAX_LINE: Final = 65536

_LF: Final = Terminator.LF
NOT_SOUGHT: Final = (LF, 0)

Chunk: TypeAlias = bytes | bytearray | memoryview


class Front(enum.Enum):
    """The state of the line at the front of the buffer."""

    WITHIN = "within the limit as far as it is here"
    SKIPPED = "oversize and reported; its rest is dropped as it comes in"
    STREAMED = "oversize and begun by `take_pieces`; its rest is taken as it comes in"


# Found faster than on the class, before Python 3.12.
WITHIN: Final = Front.WITHIN
SKIPPED: Final = Front.SKIPPED
STREAMED: Final = Front.STREAMED


def line_limit(value: int) -> int:
    """Return `value` if it can be a `max_line`; raise `LimitError` otherwise."""
    if value < 1:
        raise LimitError("max_line", value, "a positive number of bytes")
    return value


def checked_count(name: str, value: int, least: int = 1) -> int:
    """Return `value` if it is a number of bytes that can be taken; raise `LimitError` otherwise."""
    if value < least:
        raise LimitError(name, value, f"{least} or more")
    return value


class ByteBuffer:
    """The bytes received and not yet taken: the part of `LineBuffer` that knows no lines.

    Args:
        max_line: the most bytes before a delimiter or a terminator.
        terminator: what ends a line.

    Attributes:
        ended: whether `end_of_input` has been called.
        oversize_lines: how many times `LineTooLong` was raised.
    """

    __slots__ = (
        "_buffer",
        "_finished",
        "_front",
        "_lf_reach",
        "_max_line",
        "_searched",
        "_skip_tail",
        "_skip_to",
        "_sought",
        "_streamed",
        "_terminator",
        "ended",
        "oversize_lines",
    )

    def __init__(self, max_line: int = DEFAULT_MAX_LINE, terminator: Terminator = _LF) -> None:
        self._buffer = bytearray()
        self._searched = 0  # how many bytes at the front hold no end and no break of a line
        self._sought = NOT_SOUGHT  # what `take_until` sought last, and up to where it is not
        self._skip_to = LF  # while SKIPPED: what ends it,
        self._skip_tail = b""  # and the last bytes dropped, which may have begun it
        self._front = WITHIN
        self._finished = 0  # counts ends of lines, and `max_line`s of pieces; see `unfinished`
        self._streamed = 0  # while STREAMED: bytes of pieces since the last of these
        self._max_line = line_limit(max_line)
        self._terminator = terminator
        self._lf_reach = max_line + 1 if terminator is _LF else 0  # where an LF may end a line
        self.ended = False
        self.oversize_lines = 0

    @property
    def held(self) -> bytearray:
        """The bytes received, not dropped and not taken: always the same object, for inspection."""
        return self._buffer

    @property
    def unfinished(self) -> int:
        """A number for the line that is being received; 0 if none is begun.

        It changes when the line ends, and with `take_pieces` also for each `max_line` bytes of it:
        the same number after a while means that the line has made no such step.
        """
        begun = self._buffer or self._front is not WITHIN
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
        if self._front is SKIPPED:
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

    def take_exactly(self, count: int) -> bytes | None:
        """Take `count` bytes, which may be none; None while there are fewer.

        Raises:
            LimitError: `count` is negative.
        """
        buffer = self._buffer
        if 0 < count < len(buffer) and self._front is WITHIN and self._sought is NOT_SOUGHT:
            # What is next, and more behind it: a third of the work, for the words of a pipelined protocol.
            self._searched = max(0, self._searched - count) if self._searched else 0
            self._finished += 1
            taken = bytes(buffer[:count])
            del buffer[:count]
            return taken
        return self._take_front(count) if len(buffer) >= checked_count("count", count, 0) else None

    def take_some(self, max_bytes: int, chunk: Chunk = b"") -> bytes:
        """Feed `chunk`, then take what is held, but at most `max_bytes` bytes; b"" if nothing is held.

        Raises:
            LimitError: `max_bytes` is less than 1.
            StateError: there is a chunk, and the input has ended.
        """
        if chunk:
            if (  # all of it and nothing else: returned as it is, which spares two copies
                isinstance(chunk, bytes)
                and len(chunk) <= max_bytes
                and not (self._buffer or self.ended)
                and self._front is WITHIN
            ):
                self._finished += 1
                return chunk
            self.feed(chunk)
        return self._take_front(min(checked_count("max_bytes", max_bytes), len(self._buffer)))

    def take_rest(self) -> bytes:
        """Take everything that is buffered, lines or not: the unread bytes, for the next reader."""
        return self._take_front(len(self._buffer))

    def _take_front(self, end: int) -> bytes:
        """Take bytes that are held."""
        taken = self._take(self._buffer, end, searched=max(0, self._searched - end))
        self._finished += bool(taken)
        if self._front is STREAMED and LF in taken:
            self._front = WITHIN
        return taken

    def _take(self, source: bytes | bytearray, end: int, *, searched: int) -> bytes:
        self._searched = searched
        if self._sought is not NOT_SOUGHT:
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
        """Keep the place where `take_until` goes on when bytes leave the front."""
        delimiter, start = self._sought
        self._sought = (delimiter, max(0, start - taken))

    def _drop(self, source: bytes | bytearray, delimiter: bytes, error: PeerError | None = None) -> NoReturn:
        """Drop what has come of an invalid line, and report it: as oversize by default.

        What is behind it stays where it is: many such lines in one chunk cost no copy each.
        """
        found = source.find(delimiter)
        if found < 0:
            end = len(source)
            self._front = SKIPPED
            self._skip_to = delimiter
            self._skip_tail = bytes(source[end - len(delimiter) + 1 :])
        else:
            end = found + len(delimiter)
            self._front = WITHIN
            self._finished += 1
        self._searched = 0
        self._sought = NOT_SOUGHT
        if source is self._buffer:
            del self._buffer[:end]
        else:
            self._buffer += memoryview(source)[end:]
        if error is not None:
            raise error
        self.oversize_lines += 1
        raise LineTooLong(self._max_line)

    def _skip(self, chunk: bytes) -> None:
        """Drop what of a chunk belongs to an oversize line."""
        chunk = self._skip_tail + chunk
        found = chunk.find(self._skip_to)
        if found < 0:
            self._skip_tail = chunk[len(chunk) - len(self._skip_to) + 1 :]
        else:
            self._front = WITHIN
            self._finished += 1
            self._buffer += chunk[found + len(self._skip_to) :]
