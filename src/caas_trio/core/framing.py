"""Lines out of chunks: `LineBuffer`, an incremental buffer with a limit.

A line ends with one LF byte and with nothing else; CR is payload. Or, where that is declared, with
CR LF, and half of it is an error (see `terminator`). `max_line` counts every byte before the terminator.
Whether a line is oversize is a function of the line alone: it depends neither on how the stream was cut
into chunks nor on whether the terminator is already there.

The work is linear both for one long line fed a byte at a time (a search goes on where the last one
stopped) and for many short lines in one chunk (they are taken as one block, and deleting from the
front of a `bytearray` only moves its start). So it is for every mixture of calls, oversize lines
included, but for one: a `take_until` in vain looks again at all that is held if the one before it was
for another delimiter.

No I/O, no clock, no trio.
"""

from __future__ import annotations

from typing import Final

from .buffering import NOT_SOUGHT, SKIPPED, STREAMED, WITHIN, ByteBuffer, Chunk, checked_count, line_limit
from .errors import BareTerminator
from .terminator import (
    CRLF,
    LF,
    TOO_LONG,
    Found,
    Terminator,
    block_end,
    line_end,
    piece_end,
    pieces_end,
)

_LF: Final = Terminator.LF


class LineBuffer(ByteBuffer):
    r"""An incremental buffer that turns chunks into lines.

    `feed` what arrives, then take until nothing comes back. Three ways of taking share one state
    and may be mixed: `next_line` (one line), `take_lines` (all complete lines as one block) and
    `take_pieces` (all that may be answered now, oversize lines included). Each returns the bytes
    exactly as they came, terminators included; only a last line that the end of input cut off lacks
    its LF, and that is its mark.

    A caller that takes until nothing comes back before feeding again makes the buffer hold at most
    `max_line` bytes plus one chunk, and nothing while the rest of an oversize line is dropped.

    Where lines end with CR LF, a bare CR or a bare LF in one is a `BareTerminator`, from every way of
    taking lines and once per line, at the byte that proves it. The next call goes on behind that line.

    Raises `LineTooLong` (from `next_line` and `take_lines`), `StateError` (from `feed` and
    `end_of_input`, once the input has ended) and `LimitError` (for a limit or a count outside its
    range, with nothing taken). Anything else that escapes is a bug.

    Args:
        max_line: the most bytes a line may have before its terminator; where that is an LF, a CR counts.
        terminator: what ends a line.

    Attributes:
        ended: whether `end_of_input` has been called.
        oversize_lines: how many times `LineTooLong` was raised.
    """

    __slots__ = ()

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
        self._lf_reach = value + 1 if self._terminator is _LF else 0

    @property
    def terminator(self) -> Terminator:
        """What ends a line. A new one counts at once, for the line that is being received as well."""
        return self._terminator

    @terminator.setter
    def terminator(self, value: Terminator) -> None:
        self._terminator = value
        self._searched = 0
        self.max_line = self._max_line

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
                and chunk.find(LF, 0, self._lf_reach) + 1 == len(chunk)
                and self._front is not SKIPPED
                and not self.ended
            ):
                self._front = WITHIN
                self._finished += 1
                return chunk
            self.feed(chunk)
        if not buffer:
            return None
        found = buffer.find(LF, self._searched, self._lf_reach)
        if found >= 0:
            end = found + 1
            self._front = WITHIN
            self._finished += 1
        elif len(buffer) < self._lf_reach and not self.ended:
            self._searched = len(buffer)
            return None
        else:
            end = self._first_end(buffer) if self._terminator is _LF else self._first_strict_end(buffer)
            if not end:
                return None
        self._searched = 0
        if self._sought is not NOT_SOUGHT:
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
        if self._terminator is not _LF:
            end = self._first_strict_end(source)
            if end:
                end = block_end(source, end, self._max_line, ended=self.ended)
            return self._take(source, end, searched=self._searched)
        end = self._first_end(source)
        if not end:
            return self._take(source, 0, searched=len(source))
        # From a line's start the last LF within reach ends a line that is within the limit, and so
        # are all lines before it. Each search walks back no further than the next hop leads forward.
        reach = self._lf_reach
        while (last := source.rfind(LF, end, end + reach)) >= 0:
            end = last + 1
        if self.ended and len(source) - end <= self._max_line:
            end = len(source)
        return self._take(source, end, searched=min(len(source) - end, reach))

    def take_pieces(self, chunk: bytes = b"") -> bytes:
        """Feed `chunk`, then take all that may be answered now; b"" if that is nothing.

        That is every complete line, and of an unfinished one everything as soon as it is oversize,
        then its rest as it comes in. Where an oversize line is cut depends on the chunks; the bytes
        taken in sum do not. After `end_of_input`, an unfinished line is taken as well.

        Raises:
            StateError: there is a chunk, and the input has ended.
        """
        source = self._source(chunk)
        if self._terminator is not _LF:
            return self._take_strict_pieces(source)
        last = source.rfind(LF, self._searched)
        if last >= 0:
            self._front = WITHIN
            self._finished += 1
        left = len(source) - (last + 1)
        streamed = left + (self._streamed if self._front is STREAMED else 0)
        if left > self._max_line and not self.ended:
            self._front = STREAMED
        if self.ended or self._front is STREAMED:
            steps, self._streamed = divmod(streamed, self._max_line)
            self._finished += steps
            return self._take(source, len(source), searched=0)
        return self._take(source, last + 1, searched=left)

    def take_line_piece(self, max_bytes: int) -> bytes | None:
        """Take the next line, or its first `max_bytes` bytes if it is longer; None if neither is here.

        `max_line` does not apply. After `end_of_input`, bytes left without an LF are returned. A CR LF
        that ends lines is not cut: a piece that would end within it is a byte shorter.

        Raises:
            LimitError: `max_bytes` is less than the terminator's length.
        """
        checked_count("max_bytes", max_bytes, len(self._terminator.value))
        if self._terminator is not _LF:
            piece = piece_end(self._buffer, self._searched, max_bytes, ended=self.ended)
            return self._take_front(self._end_of(self._buffer, piece)) or None
        found = self._buffer.find(LF, self._searched, max_bytes)
        if found >= 0 or len(self._buffer) >= max_bytes:
            return self._take_front(found + 1 if found >= 0 else max_bytes)
        self._searched = len(self._buffer)
        return self.take_rest() or None if self.ended else None

    def _source(self, chunk: bytes) -> bytes | bytearray:
        """Return what to take from: the chunk itself if nothing is held, which spares two copies."""
        if not chunk or self._buffer or self.ended or self._front is SKIPPED:
            if chunk:
                self.feed(chunk)
            return self._buffer
        return chunk

    def _first_end(self, source: bytes | bytearray) -> int:
        """Return where the first line ends, 0 if it is not complete; report it if it is oversize."""
        reach = self._lf_reach
        found = source.find(LF, self._searched, reach)
        if found >= 0:
            self._front = WITHIN  # also behind pieces: their rest counts as a line here
            self._finished += 1
            return found + 1
        if len(source) >= reach:
            self._drop(source, LF)
        return len(source) if self.ended else 0

    def _first_strict_end(self, source: bytes | bytearray) -> int:
        """Return where the first line ends, by strict CR LF; see `_first_end`."""
        end = self._end_of(source, line_end(source, self._searched, self._max_line, ended=self.ended))
        if source[max(0, end - len(CRLF)) : end] == CRLF:
            self._front = WITHIN
            self._finished += 1
        return end

    def _end_of(self, source: bytes | bytearray, found: Found) -> int:
        """Return where a line or a piece ends, by strict CR LF; report an invalid one."""
        end, self._searched, bare = found
        if bare >= 0:
            self._drop(source, CRLF, BareTerminator(bytes(source[bare : bare + 1])))
        if end == TOO_LONG:
            self._drop(source, CRLF)
        return end

    def _take_strict_pieces(self, source: bytes | bytearray) -> bytes:
        """Take what may be answered now, by strict CR LF; see `take_pieces`."""
        begin, stop, bare = pieces_end(source, self._searched, ended=self.ended)
        if begin:
            self._front = WITHIN
            self._finished += 1
        streamed = stop - begin + (self._streamed if self._front is STREAMED else 0)
        if stop - begin > self._max_line:
            self._front = STREAMED
        if self._front is STREAMED or (self.ended and not bare):
            steps, self._streamed = divmod(streamed, self._max_line)
            self._finished += steps
            begin = stop
        if bare and not begin:
            self._drop(source, CRLF, BareTerminator(bytes(source[stop : stop + 1])))
        return self._take(source, begin, searched=0 if bare else stop - begin)

    def _check_invariants(self) -> None:
        """Raise AssertionError where the state contradicts itself; for tests, after each step."""
        assert 0 <= self._searched <= len(self._buffer)  # noqa: S101 - this is what asserts are for
        assert self._terminator.value not in self._buffer[: self._searched]  # noqa: S101
        assert not (self._front is SKIPPED and self._buffer)  # noqa: S101
