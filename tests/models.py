"""Slow, obvious models of what the core does; the tests hold the core to them."""

from __future__ import annotations

import re

from caas_trio import BareTerminator, First, LimitError, LineTooLong, Oversize


class NaiveLineBuffer:
    """Keeps every unread byte in one `bytes` and looks at all of it each time."""

    def __init__(self, max_line: int) -> None:
        self.max_line = max_line
        self.rest = b""
        self.skipping = False
        self.skip_to, self.skipped = b"\n", b""
        self.streaming = False
        self.ended = False

    def feed(self, chunk: bytes) -> None:
        self.rest += chunk
        if self.skipping:
            self.skipped, found, self.rest = (self.skipped + self.rest).partition(self.skip_to)
            self.skipping = not found

    def next_line(self) -> bytes | None:
        payload, terminator, after = self.rest.partition(b"\n")
        if len(payload) > self.max_line:
            self.rest = after
            self.skipping = not terminator
            self.skip_to, self.skipped = b"\n", b""
            self.streaming = False
            raise LineTooLong(self.max_line)
        if terminator or (payload and self.ended):
            self.rest = after
            self.streaming = self.streaming and not terminator
            return payload + terminator
        return None

    def take_lines(self) -> bytes:
        taken = self.next_line() or b""
        while taken and len(self.rest.partition(b"\n")[0]) <= self.max_line:
            line = self.next_line()
            if line is None:
                break
            taken += line
        return taken

    def take_pieces(self) -> bytes:
        end = self.rest.rfind(b"\n") + 1
        self.streaming = self.streaming and end == 0
        if len(self.rest) - end > self.max_line and not self.ended:
            self.streaming = True
        if self.streaming or self.ended:
            end = len(self.rest)
        taken, self.rest = self.rest[:end], self.rest[end:]
        return taken

    def take_until(self, delimiter: bytes) -> bytes | None:
        taken, found, after = self.rest.partition(delimiter)
        still_to_come = b"" if found or self.ended else delimiter[1:]  # its last bytes may be its own
        if len(taken) > self.max_line + len(still_to_come):
            self.rest = after
            self.skipping = not found
            self.skip_to, self.skipped = delimiter, b"" if found else taken
            self.streaming = False
            raise LineTooLong(self.max_line)
        if found or (taken and self.ended):
            return self.take_some(len(taken + found))
        return None

    def take_exactly(self, count: int) -> bytes | None:
        if count < 0:
            raise LimitError("count", count, "0 or more")
        return self._take(count) if len(self.rest) >= count else None

    def take_line_piece(self, max_bytes: int) -> bytes | None:
        if max_bytes < 1:
            raise LimitError("max_bytes", max_bytes, "1 or more")
        piece = self.rest[:max_bytes]
        if b"\n" in piece:
            return self.take_some(piece.index(b"\n") + 1)
        return self.take_some(max_bytes) if len(piece) == max_bytes or (piece and self.ended) else None

    def take_some(self, max_bytes: int) -> bytes:
        if max_bytes < 1:
            raise LimitError("max_bytes", max_bytes, "1 or more")
        return self._take(max_bytes)

    def _take(self, max_bytes: int) -> bytes:
        taken, self.rest = self.rest[:max_bytes], self.rest[max_bytes:]
        self.streaming = self.streaming and b"\n" not in taken
        return taken

    def take_rest(self) -> bytes:
        return self._take(len(self.rest))


class NaiveStrictBuffer(NaiveLineBuffer):
    """The same for lines that end with CR LF: looks at them byte by byte."""

    def front(self, start: int = 0) -> tuple[str, int]:
        """Return what the line that begins at `start` comes to, and at which byte that is known."""
        for at in range(start, len(self.rest)):
            if self.rest[at : at + 2] == b"\r\n":
                return "line", at + 2
            if self.rest[at:] == b"\r" and not self.ended:
                return "open", at
            if self.rest[at] in b"\r\n":
                return "bare", at
        return "end", len(self.rest)

    def next_line(self) -> bytes | None:
        kind, at = self.front()
        if kind == "bare" and at < self.max_line:
            raise self._refused(at, BareTerminator(self.rest[at : at + 1]))
        if at - 2 * (kind == "line") > self.max_line or (kind == "bare" and at == self.max_line):
            raise self._refused(self.max_line, LineTooLong(self.max_line))
        if kind == "line" or (kind == "end" and self.ended and at):
            taken, self.rest = self.rest[:at], self.rest[at:]
            self.streaming = self.streaming and kind != "line"
            return taken
        return None

    def take_lines(self) -> bytes:
        taken = b""
        while True:
            before = self.__dict__.copy()
            try:
                line = self.next_line()
            except (BareTerminator, LineTooLong):
                if not taken:
                    raise
                self.__dict__.update(before)
                return taken
            if not line:
                return taken
            taken += line

    def take_pieces(self) -> bytes:
        start = 0
        kind, at = self.front()
        while kind == "line":
            self.streaming = False
            start = at
            kind, at = self.front(start)
        self.streaming = self.streaming or at - start > self.max_line
        if self.streaming or (self.ended and kind == "end"):
            start = at
        if kind == "bare" and not start:
            raise self._refused(at, BareTerminator(self.rest[at : at + 1]))
        taken, self.rest = self.rest[:start], self.rest[start:]
        return taken

    def take_line_piece(self, max_bytes: int) -> bytes | None:
        if max_bytes < 2:
            raise LimitError("max_bytes", max_bytes, "2 or more")
        kind, at = self.front()
        if kind == "line" and at <= max_bytes:
            return self.take_some(at)
        stop = max_bytes - (self.rest[max_bytes - 1 : max_bytes] == b"\r")
        if len(self.rest) >= max_bytes and at - 2 * (kind == "line") >= stop:
            return self.take_some(stop)
        if kind == "bare":
            raise self._refused(at, BareTerminator(self.rest[at : at + 1]))
        return self.take_some(at) if kind == "end" and self.ended and at else None

    def _refused(self, at: int, error: Exception) -> Exception:
        """Drop the line whose byte at this place is wrong."""
        after = self.rest[at + 1 :]
        self.skipped, found, self.rest = after.partition(b"\r\n")
        self.skipping = not found
        self.skip_to = b"\r\n"
        self.skipped = b"" if found else after
        self.streaming = False
        return error


def capitals(
    data: bytes,
    max_line: int,
    oversize: Oversize,
    *,
    first: First = First.CLIENT,
    prompt: bytes = b"prompt\n",
    once: bool = False,
) -> bytes:
    """Return all that a client hears that sends `data` at once and then ends its output."""
    heard = prompt if first is First.SERVER else b""
    for line in re.findall(rb"[^\n]*\n|[^\n]+", data):
        if oversize is not Oversize.STREAM and len(line.removesuffix(b"\n")) > max_line:
            heard += b"error: line longer than %d bytes\n" % max_line
            if oversize is Oversize.REJECT:
                break
        else:
            heard += line.upper()
        if once:
            break
    return heard
