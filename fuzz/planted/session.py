"""Bugs in conversations."""

from __future__ import annotations

from typing import Final

from .bug import Bug

BUGS: Final = (
    Bug(
        "the prompt is sent twice",
        "either",
        'return self._prompt if self._first is _SERVER else b""',
        'return self._prompt if self._first is not First.CLIENT else b""',
    ),
    Bug(
        "the prompt comes after each reply",
        "server_first",
        "reply = self._answer(self._buffer, chunk)",
        "reply = self._answer(self._buffer, chunk) + self._prompt * (self._first is First.SERVER)",
    ),
    Bug(
        "the prompt comes late: after the first reply",
        "server_first",
        "self._move(_Input.DATA)\n        reply = self._answer(self._buffer, chunk)",
        "late = self._prompt * (self._state is _State.OPENED and self._first is First.SERVER)\n"
        "        self._move(_Input.DATA)\n        reply = self._answer(self._buffer, chunk) + late",
    ),
    Bug(
        "a client that speaks first is prompted all the same",
        "either",
        "self._move(_Input.DATA)\n        reply = self._answer(self._buffer, chunk)",
        "late = self._prompt * (self._state is _State.OPENED and self._first is First.EITHER)\n"
        "        self._move(_Input.DATA)\n        reply = self._answer(self._buffer, chunk) + late",
    ),
    Bug(
        "input that arrives before the prompt is dropped",
        "either",
        "self._move(_Input.DATA)\n",
        (
            "early = self.awaits_silence\n        self._move(_Input.DATA)\n"
            "        chunk = b'' if early else chunk\n"
        ),
    ),
    Bug(
        "silence after speech is accepted",
        "either",
        "(_State.CONVERSING, _Input.DATA): _State.CONVERSING,",
        (
            "(_State.CONVERSING, _Input.DATA): _State.CONVERSING,\n"
            "    (_State.CONVERSING, _Input.SILENCE): _State.CONVERSING,"
        ),
    ),
    Bug(
        "silence is awaited although the client has spoken",
        "either",
        "return self._first is _EITHER and self._state is _OPENED",
        "return self._first is _EITHER and self._state is not _CLOSING",
    ),
    Bug(
        "a conversation goes on behind a rejected line",
        "client_first",
        "last = self._once or self._oversize is not Oversize.DISCARD",
        "last = self._once",
    ),
    Bug(
        "a discarded line ends the conversation",
        "client_first",
        "last = self._once or self._oversize is not Oversize.DISCARD",
        "last = True",
    ),
    Bug(
        "`once` answers every line of the first chunk",
        "client_first",
        "return self._service(block[: block.find(LF) + 1] or block)",
        "return self._service(block)",
    ),
    Bug(
        "the reply to a last line without LF is lost",
        "client_first",
        "reply = self._answer(self._buffer)",
        'reply = b""',
    ),
    Bug(
        "replies to the lines before a rejected one are lost",
        "client_first",
        'replies.append(f"error: {error}".encode() + self._terminator.value)',
        'replies = [f"error: {error}".encode() + self._terminator.value]',
    ),
    Bug(
        "an error line has no LF",
        "client_first",
        ".encode() + self._terminator.value",
        ".encode()",
    ),
    Bug(
        "replies come in the wrong order",
        "client_first",
        'return b"".join(replies)\n\n    def _serve',
        'return b"".join(reversed(replies))\n\n    def _serve',
    ),
    Bug(
        "a service that wants lines gets whole blocks",
        "client_first",
        "if self._bytewise:",
        "if self._service:",
    ),
    Bug(
        "pieces that end without LF are not answered",
        "client_first",
        "if tail:\n            replies.append",
        "if tail and self._buffer.ended:\n            replies.append",
    ),
    Bug(
        "an empty read is taken for the end of input",
        "client_first",
        'if not chunk:\n            return b""',
        "if not chunk:\n            return self.end_of_input()",
    ),
    Bug(
        "the conversation goes on behind the end of input",
        "server_first",
        "(_State.OPENED, _Input.END): _State.CLOSING,",
        "(_State.OPENED, _Input.END): _State.CONVERSING,",
    ),
    Bug(
        "whole lines are answered at once although a line is unfinished",
        "client_first",
        "not self._buffer.unfinished",
        "not self._buffer.ended",
    ),
    Bug(
        "whole lines are answered at once although one of them may be oversize",
        "client_first",
        "self._shortcut = self._max_line",
        "self._shortcut = 1 << 30",
    ),
    Bug(
        "whole lines are answered behind the end of input",
        "client_first",
        "self.closing = following is _CLOSING\n        self._shortcut = 0",
        "self.closing = following is _CLOSING",
    ),
    Bug(
        "sessions with the same limit share a buffer",
        "client_first",
        "self._buffer = LineBuffer(self._max_line, self._terminator)",
        "shared = LineSession.__init__.__dict__\n"
        "            self._buffer = shared.setdefault(str(self._max_line), LineBuffer(self._max_line))",
    ),
    Bug(
        "a line one byte too long is answered at once",
        "client_first",
        "if len(chunk) <= self._shortcut and",
        "if len(chunk) <= self._shortcut + 2 and",
    ),
    Bug(
        "two lines have the same number",
        "client_first",
        "return line and (self._buffers << 32) + line",
        "return line",
    ),
)
