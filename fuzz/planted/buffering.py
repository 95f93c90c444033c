"""Bugs in what framing builds on."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "the last line comes back for ever",
        "line_buffer",
        "elif end == len(source):\n            self._buffer.clear()",
        (
            "elif end == len(source) and (LF in taken or not self.ended):\n"
            "            self._buffer.clear()\n        elif self.ended:\n            pass"
        ),
    ),
    Bug(
        "CRLF is turned into LF",
        "line_buffer",
        "else bytes(source[:end])",
        'else bytes(source[:end]).replace(b"\\r\\n", LF)',
    ),
    Bug(
        "a bare CR ends a line",
        "client_first",
        "        else:\n            self._buffer += chunk",
        '        else:\n            self._buffer += bytes(chunk).replace(b"\\r", LF)',
    ),
    Bug(
        "a chunk ends at its first NUL",
        "client_first",
        "        else:\n            self._buffer += chunk",
        '        else:\n            self._buffer += bytes(chunk).partition(b"\\0")[0]',
    ),
    Bug(
        "the end of an oversize line eats the next line",
        "line_buffer",
        "self._buffer += chunk[found + len(self._skip_to) :]",
        "self._buffer += chunk[found + len(self._skip_to) :].partition(LF)[2]",
    ),
    Bug(
        "skipping an oversize line never ends",
        "line_buffer",
        "self._front = WITHIN\n            self._finished += 1\n            self._buffer += chunk",
        "self._finished += 1\n            self._buffer += chunk",
    ),
    Bug(
        "the search offset outlives the bytes it was for",
        "line_buffer",
        "self._searched = 0\n        self._sought = NOT_SOUGHT\n        if source",
        "self._sought = NOT_SOUGHT\n        if source",
    ),
    Bug(
        "an oversize line is reported for each chunk of it",
        "line_buffer",
        "if self._front is SKIPPED:\n            self._skip(bytes(chunk))",
        "if self._front is None:\n            self._skip(bytes(chunk))",
    ),
    Bug(
        "a ghost line is left of an oversize one",
        "line_buffer",
        "self._front = SKIPPED",
        "self._front = WITHIN",
    ),
    Bug(
        "all buffers share their bytes",
        "line_buffer",
        "self._buffer = bytearray()",
        'self._buffer = LineBuffer.__init__.__dict__.setdefault("bytes", bytearray())',
    ),
    Bug(
        "a chunk that meets an empty buffer is kept instead of copied",
        "line_buffer",
        "        else:\n            self._buffer += chunk",
        (
            "        elif not self._buffer and isinstance(chunk, bytearray):\n"
            "            self._buffer = chunk\n        else:\n            self._buffer += chunk"
        ),
    ),
    Bug(
        "a view of the driver's memory is kept",
        "line_buffer",
        "        else:\n            self._buffer += chunk",
        "        else:\n            self._skip_to = chunk[:1]\n            self._buffer += chunk",
    ),
    Bug(
        "every byte received is kept",
        "line_buffer",
        "        else:\n            self._buffer += chunk",
        "        else:\n            self._skip_to += bytes(chunk)\n            self._buffer += chunk",
    ),
    Bug(
        "the rest is copied for each line taken: quadratic",
        "line_buffer",
        "else:\n            del self._buffer[:end]",
        "else:\n            self._buffer = self._buffer[end:]",
    ),
    Bug(
        "input is accepted behind the end of input",
        "line_buffer",
        'raise StateError("feed", "ended")',
        "return",
    ),
    Bug(
        "a limit of nothing is accepted",
        "client_first",
        "if value < 1:",
        "if value < 0:",
    ),
    Bug(
        "lines come back as bytearray",
        "line_buffer",
        "else bytes(source[:end])",
        "else source[:end]",
    ),
    Bug(
        "a delimiter that is cut is not found",
        "line_buffer",
        "max(0, len(self._buffer) - len(delimiter) + 1)",
        "len(self._buffer)",
    ),
    Bug(
        "a delimiter counts against the limit",
        "line_buffer",
        "reach = self._max_line + len(delimiter)",
        "reach = self._max_line + len(delimiter) - 1",
    ),
    Bug(
        "a delimiter that is cut does not end what is skipped",
        "line_buffer",
        "self._skip_tail = chunk[len(chunk) - len(self._skip_to) + 1 :]",
        'self._skip_tail = b""',
    ),
    Bug(
        "a byte that comes alone drops one of the two before it",
        "line_buffer",
        "        chunk = self._skip_tail + chunk\n",
        "        chunk = self._skip_tail[len(self._skip_tail) == 2 and len(chunk) == 1 :] + chunk\n",
    ),
    Bug(
        "any call counts as progress of a skipped line",
        "line_buffer",
        "self._finished += bool(taken)",
        "self._finished += 1",
    ),
    Bug(
        "a skipped line counts as none",
        "line_buffer",
        "begun = self._buffer or self._front is not WITHIN",
        "begun = self._buffer",
    ),
    Bug(
        "a delimiter that was sought elsewhere is not found",
        "line_buffer",
        "            self._move_sought(end)\n        taken = bytes(source)",
        "            pass\n        taken = bytes(source)",
    ),
    Bug(
        "what began a delimiter ends another line",
        "line_buffer",
        "self._skip_tail = bytes(source[end - len(delimiter) + 1 :])",
        "self._skip_tail += bytes(source[end - len(delimiter) + 1 :])",
    ),
    Bug(
        "the search offset outlives counted bytes",
        "line_buffer",
        "searched=max(0, self._searched - end)",
        "searched=min(self._searched, len(self._buffer) - end)",
    ),
    Bug(
        "a streamed line goes on behind counted bytes",
        "line_buffer",
        "if self._front is STREAMED and LF in taken:",
        "if self._front is STREAMED and taken.endswith(LF):",
    ),
    Bug(
        "a delimiter is sought from the start in each read: quadratic",
        "work",
        "start if sought == delimiter else 0, reach)",
        "0, reach)",
    ),
    Bug(
        "the rest is copied for each oversize line: quadratic",
        "work",
        "found = source.find(delimiter)",
        "found = bytes(source).find(delimiter)",
    ),
)
