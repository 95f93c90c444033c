"""Bugs in the framing of lines."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "the search offset is forgotten: quadratic for a line that drips in",
        "line_buffer",
        "found = buffer.find(LF, self._searched, self._lf_reach)",
        "found = buffer.find(LF, 0, self._lf_reach)",
    ),
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
        "the limit is checked only while there is no LF",
        "line_buffer",
        "found = source.find(LF, self._searched, reach)",
        "found = source.find(LF, self._searched)",
    ),
    Bug(
        "an oversize line is noticed only when its LF is not there yet",
        "client_first",
        "if len(source) >= reach:",
        "if len(source) >= reach and LF not in source:",
    ),
    Bug(
        "the second line of a block is not held to the limit",
        "line_buffer",
        "while (last := source.rfind(LF, end, end + reach)) >= 0:",
        "while (last := source.rfind(LF, end)) >= 0:",
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
        "pieces are searched from the start each time: quadratic",
        "line_buffer",
        "source.rfind(LF, self._searched)",
        "source.rfind(LF)",
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
        "a line that comes whole is not held to the limit",
        "line_buffer",
        "chunk.find(LF, 0, self._lf_reach) + 1 == len(chunk)",
        "chunk.find(LF) + 1 == len(chunk)",
    ),
    Bug(
        "the end of an oversize line is taken for a line if it comes alone",
        "line_buffer",
        "== len(chunk)\n                and self._front is not SKIPPED",
        "== len(chunk)",
    ),
    Bug(
        "two lines that come at once are taken for one",
        "line_buffer",
        "chunk.find(LF, 0, self._lf_reach) + 1 == len(chunk)",
        "chunk.rfind(LF, 0, self._lf_reach) + 1 == len(chunk)",
    ),
    Bug(
        "a streamed line that ends alone goes on",
        "line_buffer",
        "self._front = WITHIN\n                self._finished += 1\n                return chunk",
        "self._finished += 1\n                return chunk",
    ),
    Bug(
        "a streamed line makes progress only in large reads",
        "client_first",
        "streamed = left + (self._streamed if self._front is STREAMED else 0)",
        "streamed = left",
    ),
    Bug(
        "a piece of just the size that was asked for has to wait",
        "line_buffer",
        "if found >= 0 or len(self._buffer) >= max_bytes:",
        "if found >= 0 or len(self._buffer) > max_bytes:",
    ),
    Bug(
        "a higher limit overlooks a line end",
        "line_buffer",
        "return self._take(source, end, searched=min(len(source) - end, reach))",
        "return self._take(source, end, searched=len(source) - end)",
    ),
    Bug(
        "a streamed line begins at the limit",
        "client_first",
        "if left > self._max_line and not self.ended:",
        "if left >= self._max_line and not self.ended:",
    ),
)
