"""Bugs to plant: what people get wrong in line servers, as small changes to this package.

Each is a text that occurs exactly once in a module, and what takes its place. One that no longer
applies is an error, see `applied`: the table has to follow the code.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Bug(NamedTuple):
    """A bug and the harness that ought to find it."""

    what: str
    harness: str
    module: str
    old: str
    new: str

    def applied(self, source: str) -> str:
        """Return the module's source with the bug in it.

        Raises:
            ValueError: the text to replace does not occur exactly once.
        """
        if source.count(self.old) != 1:
            raise ValueError(
                f"{self.what!r} does not apply to {self.module}: {source.count(self.old)} places"
            )
        return source.replace(self.old, self.new)


FRAMING: Final = [
    Bug(
        "the search offset is forgotten: quadratic for a line that drips in",
        "line_buffer",
        "framing.py",
        "found = self._buffer.find(LF, self._searched, reach)",
        "found = self._buffer.find(LF, 0, reach)",
    ),
    Bug(
        "the limit is one byte too low",
        "line_buffer",
        "framing.py",
        "reach = self._max_line + 1\n        found",
        "reach = self._max_line\n        found",
    ),
    Bug(
        "the limit is one byte too high",
        "line_buffer",
        "framing.py",
        "reach = self._max_line + 1\n        found",
        "reach = self._max_line + 2\n        found",
    ),
    Bug(
        "the limit is checked only while there is no LF",
        "line_buffer",
        "framing.py",
        "found = self._buffer.find(LF, self._searched, reach)",
        "found = self._buffer.find(LF, self._searched)",
    ),
    Bug(
        "an oversize line is noticed only when its LF is not there yet",
        "client_first",
        "framing.py",
        "if len(self._buffer) >= reach:",
        "if len(self._buffer) >= reach and LF not in self._buffer:",
    ),
    Bug(
        "the second line of a block is not held to the limit",
        "line_buffer",
        "framing.py",
        "while (last := self._buffer.rfind(LF, end, end + reach)) >= 0:",
        "while (last := self._buffer.rfind(LF, end)) >= 0:",
    ),
    Bug(
        "a CR before the LF does not count against the limit",
        "line_buffer",
        "framing.py",
        "reach = self._max_line + 1\n        found",
        'reach = self._max_line + 1 + (self._buffer[self._max_line : self._max_line + 1] == b"\\r")\n        found',
    ),
    Bug(
        "the last line is lost if it lacks its LF",
        "line_buffer",
        "framing.py",
        "return len(self._buffer) if self._ended else 0",
        "return 0",
    ),
    Bug(
        "the last line comes back for ever",
        "line_buffer",
        "framing.py",
        "taken = bytes(self._buffer)\n            self._buffer.clear()",
        "taken = bytes(self._buffer)\n            if LF in taken:\n                self._buffer.clear()",
    ),
    Bug(
        "CRLF is turned into LF",
        "line_buffer",
        "framing.py",
        "taken = bytes(self._buffer[:end])",
        'taken = bytes(self._buffer[:end]).replace(b"\\r\\n", LF)',
    ),
    Bug(
        "a bare CR ends a line",
        "client_first",
        "framing.py",
        "self._buffer += chunk",
        'self._buffer += bytes(chunk).replace(b"\\r", LF)',
    ),
    Bug(
        "a chunk ends at its first NUL",
        "client_first",
        "framing.py",
        "self._buffer += chunk",
        'self._buffer += bytes(chunk).partition(b"\\0")[0]',
    ),
    Bug(
        "the end of an oversize line eats the next line",
        "line_buffer",
        "framing.py",
        "del self._buffer[: found + 1]",
        "del self._buffer[: self._buffer.find(LF, found + 1) + 1 or found + 1]",
    ),
    Bug(
        "skipping an oversize line never ends",
        "line_buffer",
        "framing.py",
        "self._searched = 0\n        if found < 0:",
        "self._searched = 0\n        if found < len(self._buffer):",
    ),
    Bug(
        "the search offset outlives the bytes it was for",
        "line_buffer",
        "framing.py",
        "self._searched = 0\n        if found < 0:",
        "if found < 0:",
    ),
    Bug(
        "an oversize line is reported for each chunk of it",
        "line_buffer",
        "framing.py",
        "if self._front is _Front.SKIPPED:\n            self._skip()",
        "",
    ),
    Bug(
        "a ghost line is left of an oversize one",
        "line_buffer",
        "framing.py",
        "self._front = _Front.SKIPPED",
        "self._front = _Front.WITHIN",
    ),
    Bug(
        "all buffers share their bytes",
        "line_buffer",
        "framing.py",
        "self._buffer = bytearray()",
        'self._buffer = LineBuffer.__init__.__dict__.setdefault("bytes", bytearray())',
    ),
    Bug(
        "a chunk that meets an empty buffer is kept instead of copied",
        "line_buffer",
        "framing.py",
        "self._buffer += chunk",
        "self._buffer = self._buffer + chunk if self._buffer or not isinstance(chunk, bytearray) else chunk",
    ),
    Bug(
        "a view of the driver's memory is kept",
        "client_first",
        "framing.py",
        "self._buffer += chunk",
        "self._last = chunk[:1]\n        self._buffer += chunk",
    ),
    Bug(
        "every byte received is kept",
        "line_buffer",
        "framing.py",
        "self._buffer += chunk",
        'self._buffer += chunk\n        self._past = getattr(self, "_past", b"") + bytes(chunk)',
    ),
    Bug(
        "pieces are searched from the start each time: quadratic",
        "line_buffer",
        "framing.py",
        "self._buffer.rfind(LF, self._searched)",
        "self._buffer.rfind(LF)",
    ),
    Bug(
        "the rest is copied for each line taken: quadratic",
        "line_buffer",
        "framing.py",
        "del self._buffer[:end]",
        "self._buffer = self._buffer[end:]",
    ),
    Bug(
        "input is accepted behind the end of input",
        "line_buffer",
        "framing.py",
        'raise StateError("feed", "ended")',
        "return",
    ),
    Bug(
        "a lower limit is ignored",
        "line_buffer",
        "framing.py",
        "self._max_line = value",
        'self._max_line = max(value, getattr(self, "_max_line", 0))',
    ),
    Bug(
        "a limit of nothing is accepted",
        "client_first",
        "framing.py",
        "if value < 1:",
        "if value < 0:",
    ),
    Bug(
        "lines come back as bytearray",
        "line_buffer",
        "framing.py",
        "taken = bytes(self._buffer[:end])",
        "taken = self._buffer[:end]",
    ),
    Bug(
        "the rest of a streamed line waits for the limit again",
        "client_first",
        "framing.py",
        "self._front = _Front.STREAMED",
        "return self._take(len(self._buffer), searched=0)",
    ),
]

SESSION: Final = [
    Bug(
        "the prompt is sent twice",
        "either",
        "session.py",
        'return self._prompt if _PROMPTED_BY.get(self._first) is made else b""',
        'return self._prompt if self._first in _PROMPTED_BY and made in _PROMPTED_BY.values() else b""',
    ),
    Bug(
        "the prompt comes after each reply",
        "server_first",
        "session.py",
        "self._buffer.feed(data)\n        return self._answer()",
        "self._buffer.feed(data)\n        return self._answer() + self._prompt * (self._first is First.SERVER)",
    ),
    Bug(
        "the prompt comes late: after the first reply",
        "server_first",
        "session.py",
        "self._move(_Input.DATA)\n        self._buffer.feed(data)\n        return self._answer()",
        "late = self._prompt * (self._state is _State.OPENED and self._first is First.SERVER)\n"
        "        self._move(_Input.DATA)\n        self._buffer.feed(data)\n        return self._answer() + late",
    ),
    Bug(
        "a client that speaks first is prompted all the same",
        "either",
        "session.py",
        "self._move(_Input.DATA)\n        self._buffer.feed(data)\n        return self._answer()",
        "late = self._prompt * (self._state is _State.OPENED and self._first is First.EITHER)\n"
        "        self._move(_Input.DATA)\n        self._buffer.feed(data)\n        return self._answer() + late",
    ),
    Bug(
        "input that arrives before the prompt is dropped",
        "either",
        "session.py",
        "self._move(_Input.DATA)\n",
        "early = self.awaits_silence\n        self._move(_Input.DATA)\n        data = b'' if early else data\n",
    ),
    Bug(
        "silence after speech is accepted",
        "either",
        "session.py",
        "(_State.CONVERSING, _Input.DATA): _State.CONVERSING,",
        "(_State.CONVERSING, _Input.DATA): _State.CONVERSING,\n"
        "    (_State.CONVERSING, _Input.SILENCE): _State.CONVERSING,",
    ),
    Bug(
        "silence is awaited although the client has spoken",
        "either",
        "session.py",
        "return self._first is First.EITHER and self._state is _State.OPENED",
        "return self._first is First.EITHER and self._state is not _State.CLOSING",
    ),
    Bug(
        "a conversation goes on behind a rejected line",
        "client_first",
        "session.py",
        "last = self._once or self._oversize is Oversize.REJECT",
        "last = self._once",
    ),
    Bug(
        "a discarded line ends the conversation",
        "client_first",
        "session.py",
        "last = self._once or self._oversize is Oversize.REJECT",
        "last = True",
    ),
    Bug(
        "`once` answers every line of the first chunk",
        "client_first",
        "session.py",
        "return self._service(block[: block.find(LF) + 1] or block)",
        "return self._service(block)",
    ),
    Bug(
        "`once` does not end the conversation",
        "client_first",
        "session.py",
        "last = self._once and (LF in block or self._buffer.ended)",
        "last = False",
    ),
    Bug(
        "the reply to a last line without LF is lost",
        "client_first",
        "session.py",
        "self._buffer.end_of_input()\n        return self._answer()",
        'self._buffer.end_of_input()\n        return self._answer() if len(self._buffer) == 0 else b""',
    ),
    Bug(
        "replies to the lines before a rejected one are lost",
        "client_first",
        "session.py",
        'replies.append(f"error: {error}\\n".encode())',
        'replies = [f"error: {error}\\n".encode()]',
    ),
    Bug(
        "an error line has no LF",
        "client_first",
        "session.py",
        'f"error: {error}\\n"',
        'f"error: {error}"',
    ),
    Bug(
        "replies come in the wrong order",
        "client_first",
        "session.py",
        'return b"".join(replies)\n\n    def _serve',
        'return b"".join(reversed(replies))\n\n    def _serve',
    ),
    Bug(
        "a service that wants lines gets whole blocks",
        "client_first",
        "session.py",
        "if self._bytewise:",
        "if self._service:",
    ),
    Bug(
        "pieces that end without LF are not answered",
        "client_first",
        "session.py",
        "if tail:\n            replies.append",
        "if tail and self._buffer.ended:\n            replies.append",
    ),
    Bug(
        "an empty read is taken for the end of input",
        "client_first",
        "session.py",
        'if not data:\n            return b""',
        "if not data:\n            return self.end_of_input()",
    ),
    Bug(
        "the conversation goes on behind the end of input",
        "server_first",
        "session.py",
        "(_State.OPENED, _Input.END): _State.CLOSING,",
        "(_State.OPENED, _Input.END): _State.CONVERSING,",
    ),
    Bug(
        "sessions with the same limit share a buffer",
        "client_first",
        "session.py",
        "self._buffer = LineBuffer(max_line)",
        "self._buffer = LineSession.__init__.__dict__.setdefault(str(max_line), LineBuffer(max_line))",
    ),
]

ENDPOINT: Final = [
    Bug(
        "port 65536 is accepted",
        "endpoint",
        "endpoint.py",
        "_MOST_PORT: Final = 65535",
        "_MOST_PORT: Final = 65536",
    ),
    Bug(
        "a port may begin with zeros",
        "endpoint",
        "endpoint.py",
        'r"0|[1-9][0-9]{0,9}"',
        'r"[0-9]{1,10}"',
    ),
    Bug(
        "what int() takes for a number is one",
        "endpoint",
        "endpoint.py",
        "if not _NUMBER.fullmatch(digits):",
        "if not digits.isdigit():",
    ),
    Bug(
        "an IPv6 address is printed without brackets",
        "endpoint",
        "endpoint.py",
        'host = f"[{self.host}]" if ":" in self.host else self.host',
        "host = self.host",
    ),
    Bug(
        "a path may contain a line end",
        "endpoint",
        "endpoint.py",
        'r"[\\x00-\\x1f\\x7f]"',
        'r"[\\x00-\\x09\\x7f]"',
    ),
    Bug(
        "only the beginning of a host name is looked at",
        "endpoint",
        "endpoint.py",
        "return None if _HOST.fullmatch(host) else",
        "return None if _HOST.match(host) else",
    ),
    Bug(
        "an unknown scheme raises a foreign exception",
        "endpoint",
        "endpoint.py",
        "except ValueError:\n            known",
        "except KeyError:\n            known",
    ),
    Bug(
        "values of another scheme are dropped in silence",
        "endpoint",
        "endpoint.py",
        "return reason or self._stray_reason()",
        "return reason",
    ),
]

BUGS: Final = [*FRAMING, *SESSION, *ENDPOINT]
