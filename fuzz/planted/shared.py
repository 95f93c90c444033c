"""Bugs in what connections and tasks share: state, memory, and the right to read and to send."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "all buffers share their bytes",
        "line_buffer",
        "core/buffering.py",
        "self._buffer = bytearray()",
        'self._buffer = ByteBuffer.__init__.__dict__.setdefault("bytes", bytearray())',
    ),
    Bug(
        "a chunk that meets an empty buffer is kept instead of copied",
        "line_buffer",
        "core/buffering.py",
        "        else:\n            self._buffer += chunk",
        (
            "        elif not self._buffer and isinstance(chunk, bytearray):\n"
            "            self._buffer = chunk\n"
            "        else:\n"
            "            self._buffer += chunk"
        ),
    ),
    Bug(
        "sessions with the same limit share a buffer",
        "client_first",
        "core/session.py",
        "self._buffer = LineBuffer(self._max_line, self._terminator)",
        (
            "shared = LineSession.__init__.__dict__\n"
            "            self._buffer = shared.setdefault(str(self._max_line), LineBuffer(self._max_line))"
        ),
    ),
    Bug(
        "all connections share a session",
        "server",
        "server/kinds.py",
        "self._served_by = self._shared.service()\n        turn",
        'self._served_by = vars(self._shared.tasks).setdefault("one", self._shared.service())\n        turn',
    ),
    Bug(
        "two tasks may read at once",
        "connection",
        "drivers/reading.py",
        (
            "if self._receiving or self._closed:\n"
            "            raise self._misused(call)\n"
            "        self._receiving"
        ),
        "if self._closed:\n            raise self._misused(call)\n        self._receiving",
    ),
    Bug(
        "posts overtake what is being sent",
        "handler",
        "drivers/sending.py",
        "        if not self._sending:\n            try:\n                rest =",
        "        if True:\n            try:\n                rest =",
    ),
)
