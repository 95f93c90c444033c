"""Bugs in the framing of lines."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "the limit is one byte too low",
        "line_buffer",
        "reach = self._lf_reach\n        found",
        "reach = self._lf_reach - 1\n        found",
    ),
    Bug(
        "the limit is one byte too high",
        "line_buffer",
        "reach = self._lf_reach\n        found",
        "reach = self._lf_reach + 1\n        found",
    ),
    Bug(
        "an oversize line is noticed only when its LF is not there yet",
        "client_first",
        "if len(source) >= reach:",
        "if len(source) >= reach and LF not in source:",
    ),
    Bug(
        "a CR before the LF does not count against the limit",
        "line_buffer",
        "reach = self._lf_reach\n        found",
        'reach = self._lf_reach + (source[self._max_line :][:1] == b"\\r")\n        found',
    ),
    Bug(
        "the last line is lost if it lacks its LF",
        "line_buffer",
        "return len(source) if self.ended else 0",
        "return 0",
    ),
    Bug(
        "a lower limit is ignored",
        "line_buffer",
        "self._max_line = line_limit(value)",
        'self._max_line = max(line_limit(value), getattr(self, "_max_line", 0))',
    ),
    Bug(
        "the rest of a streamed line waits for the limit again",
        "client_first",
        "not self.ended:\n            self._front = STREAMED",
        "not self.ended:\n            return self._take(len(self._buffer), searched=0)",
    ),
    Bug(
        "a piece of a line may be one byte longer than asked for",
        "connection",
        "return self._take_front(found + 1 if found >= 0 else max_bytes)",
        "return self._take_front(found + 1 if found >= 0 else max_bytes + 1)",
    ),
    Bug(
        "the end of an oversize line is taken for a line if it comes alone",
        "line_buffer",
        "== len(chunk)\n                and self._front is not SKIPPED",
        "== len(chunk)",
    ),
    Bug(
        "a streamed line that ends alone goes on",
        "line_buffer",
        "self._front = WITHIN\n                self._finished += 1\n                return chunk",
        "self._finished += 1\n                return chunk",
    ),
    Bug(
        "a higher limit overlooks a line end",
        "line_buffer",
        "return self._take(source, end, searched=min(len(source) - end, reach))",
        "return self._take(source, end, searched=len(source) - end)",
    ),
)
