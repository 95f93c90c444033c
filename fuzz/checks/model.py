"""What a `LineBuffer` is to do, in the ways that `Connection` reads, without a thought for speed."""

from __future__ import annotations

from caas_trio.errors import LineTooLong
from tests.models import NaiveLineBuffer

_LF = b"\n"


class Model(NaiveLineBuffer):
    """Adds delimiters, counts and pieces of lines to the naive buffer."""

    def __init__(self, max_line: int) -> None:
        super().__init__(max_line)
        self.skip_to = _LF
        self.skipped = b""

    def feed(self, chunk: bytes) -> None:
        if not self.skipping:
            self.rest += chunk
            return
        before = self.skipped
        self.skipped += chunk
        _, delimiter, after = self.skipped.partition(self.skip_to)
        assert self.skip_to not in before
        if delimiter:
            self.skipping, self.rest = False, after

    def next_line(self) -> bytes | None:
        try:
            return super().next_line()
        except LineTooLong:
            self.skip_to, self.skipped = _LF, b""
            raise

    def take_until(self, delimiter: bytes) -> bytes | None:
        before, found, _ = self.rest.partition(delimiter)
        if found and len(before) <= self.max_line:
            return self.take_some(len(before) + len(delimiter))
        if len(self.rest) >= self.max_line + len(delimiter):
            dropped, self.rest = self.rest, b""
            self.skipping, self.streaming = True, False
            self.skip_to, self.skipped = delimiter, b""
            self.feed(dropped)
            raise LineTooLong(self.max_line)
        return self.take_rest() or None if self.ended else None

    def take_line_piece(self, most: int) -> bytes | None:
        line, found, _ = self.rest.partition(_LF)
        if found or len(self.rest) >= most:
            return self.take_some(min(len(line) + len(found), most))
        return self.take_rest() or None if self.ended else None

    def take_exactly(self, count: int) -> bytes | None:
        return self.take_some(count) if len(self.rest) >= count else None

    def take_some(self, most: int) -> bytes:
        self.streaming = self.streaming and not self.rest
        taken, self.rest = self.rest[:most], self.rest[most:]
        return taken
