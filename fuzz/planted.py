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
            places = source.count(self.old)
            raise ValueError(f"{self.what!r} does not apply to {self.module}: {places} places")
        return source.replace(self.old, self.new)


FRAMING: Final = [
    Bug(
        "the search offset is forgotten: quadratic for a line that drips in",
        "line_buffer",
        "framing.py",
        "found = source.find(LF, self._searched, reach)",
        "found = source.find(LF, 0, reach)",
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
        "found = source.find(LF, self._searched, reach)",
        "found = source.find(LF, self._searched)",
    ),
    Bug(
        "an oversize line is noticed only when its LF is not there yet",
        "client_first",
        "framing.py",
        "if len(source) >= reach:",
        "if len(source) >= reach and LF not in source:",
    ),
    Bug(
        "the second line of a block is not held to the limit",
        "line_buffer",
        "framing.py",
        "while (last := source.rfind(LF, end, end + reach)) >= 0:",
        "while (last := source.rfind(LF, end)) >= 0:",
    ),
    Bug(
        "a CR before the LF does not count against the limit",
        "line_buffer",
        "framing.py",
        "reach = self._max_line + 1\n        found",
        'reach = self._max_line + 1 + (source[self._max_line :][:1] == b"\\r")\n        found',
    ),
    Bug(
        "the last line is lost if it lacks its LF",
        "line_buffer",
        "framing.py",
        "return len(source) if self._ended else 0",
        "return 0",
    ),
    Bug(
        "the last line comes back for ever",
        "line_buffer",
        "framing.py",
        "elif end == len(source):\n            self._buffer.clear()",
        "elif end == len(source) and (LF in taken or not self._ended):\n            self._buffer.clear()\n"
        "        elif self._ended:\n            pass",
    ),
    Bug(
        "CRLF is turned into LF",
        "line_buffer",
        "framing.py",
        "else bytes(source[:end])",
        'else bytes(source[:end]).replace(b"\\r\\n", LF)',
    ),
    Bug(
        "a bare CR ends a line",
        "client_first",
        "framing.py",
        "        else:\n            self._buffer += chunk",
        '        else:\n            self._buffer += bytes(chunk).replace(b"\\r", LF)',
    ),
    Bug(
        "a chunk ends at its first NUL",
        "client_first",
        "framing.py",
        "        else:\n            self._buffer += chunk",
        '        else:\n            self._buffer += bytes(chunk).partition(b"\\0")[0]',
    ),
    Bug(
        "the end of an oversize line eats the next line",
        "line_buffer",
        "framing.py",
        "self._buffer += chunk[found + len(self._skip_to) :]",
        "self._buffer += chunk[found + len(self._skip_to) :].partition(LF)[2]",
    ),
    Bug(
        "skipping an oversize line never ends",
        "line_buffer",
        "framing.py",
        "self._front = _Front.WITHIN\n            self._finished += 1\n            self._buffer += chunk",
        "self._finished += 1\n            self._buffer += chunk",
    ),
    Bug(
        "the search offset outlives the bytes it was for",
        "line_buffer",
        "framing.py",
        "self._buffer.clear()\n        self._searched = 0",
        "self._buffer.clear()",
    ),
    Bug(
        "an oversize line is reported for each chunk of it",
        "line_buffer",
        "framing.py",
        "if self._front is _Front.SKIPPED:\n            self._skip(bytes(chunk))",
        "if self._front is None:\n            self._skip(bytes(chunk))",
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
        "        else:\n            self._buffer += chunk",
        "        elif not self._buffer and isinstance(chunk, bytearray):\n            self._buffer = chunk\n"
        "        else:\n            self._buffer += chunk",
    ),
    Bug(
        "a view of the driver's memory is kept",
        "line_buffer",
        "framing.py",
        "        else:\n            self._buffer += chunk",
        "        else:\n            self._skip_to = chunk[:1]\n            self._buffer += chunk",
    ),
    Bug(
        "every byte received is kept",
        "line_buffer",
        "framing.py",
        "        else:\n            self._buffer += chunk",
        "        else:\n            self._skip_to += bytes(chunk)\n            self._buffer += chunk",
    ),
    Bug(
        "pieces are searched from the start each time: quadratic",
        "line_buffer",
        "framing.py",
        "source.rfind(LF, self._searched)",
        "source.rfind(LF)",
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
        "else bytes(source[:end])",
        "else source[:end]",
    ),
    Bug(
        "the rest of a streamed line waits for the limit again",
        "client_first",
        "framing.py",
        "self._front = _Front.STREAMED",
        "return self._take(len(self._buffer), searched=0)",
    ),
    Bug(
        "a delimiter that is cut is not found",
        "line_buffer",
        "framing.py",
        "max(0, len(self._buffer) - len(delimiter) + 1)",
        "len(self._buffer)",
    ),
    Bug(
        "a delimiter counts against the limit",
        "line_buffer",
        "framing.py",
        "reach = self._max_line + len(delimiter)",
        "reach = self._max_line + len(delimiter) - 1",
    ),
    Bug(
        "a delimiter that is cut does not end what is skipped",
        "line_buffer",
        "framing.py",
        "self._skip_tail = chunk[max(0, len(chunk) - len(self._skip_to) + 1) :]",
        'self._skip_tail = b""',
    ),
    Bug(
        "a piece of a line may be one byte longer than asked for",
        "connection",
        "framing.py",
        "return self.take_some(found + 1 if found >= 0 else most)",
        "return self.take_some(found + 1 if found >= 0 else most + 1)",
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
        "reply = self._answer(chunk)",
        "reply = self._answer(chunk) + self._prompt * (self._first is First.SERVER)",
    ),
    Bug(
        "the prompt comes late: after the first reply",
        "server_first",
        "session.py",
        "self._move(_Input.DATA)\n        reply = self._answer(chunk)",
        "late = self._prompt * (self._state is _State.OPENED and self._first is First.SERVER)\n"
        "        self._move(_Input.DATA)\n        reply = self._answer(chunk) + late",
    ),
    Bug(
        "a client that speaks first is prompted all the same",
        "either",
        "session.py",
        "self._move(_Input.DATA)\n        reply = self._answer(chunk)",
        "late = self._prompt * (self._state is _State.OPENED and self._first is First.EITHER)\n"
        "        self._move(_Input.DATA)\n        reply = self._answer(chunk) + late",
    ),
    Bug(
        "input that arrives before the prompt is dropped",
        "either",
        "session.py",
        "self._move(_Input.DATA)\n",
        "early = self.awaits_silence\n        self._move(_Input.DATA)\n"
        "        chunk = b'' if early else chunk\n",
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
        "self._buffer.end_of_input()\n        reply = self._answer()",
        'self._buffer.end_of_input()\n        reply = b""',
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
        'if not chunk:\n            return b""',
        "if not chunk:\n            return self.end_of_input()",
    ),
    Bug(
        "the conversation goes on behind the end of input",
        "server_first",
        "session.py",
        "(_State.OPENED, _Input.END): _State.CLOSING,",
        "(_State.OPENED, _Input.END): _State.CONVERSING,",
    ),
    Bug(
        "whole lines are answered at once although a line is unfinished",
        "client_first",
        "session.py",
        "not self._buffer.unfinished",
        "not self._buffer.ended",
    ),
    Bug(
        "whole lines are answered at once although one of them may be oversize",
        "client_first",
        "session.py",
        "self._shortcut = self._buffer.max_line",
        "self._shortcut = 1 << 30",
    ),
    Bug(
        "whole lines are answered behind the end of input",
        "client_first",
        "session.py",
        "self.closing = following is _CLOSING\n        self._shortcut = 0",
        "self.closing = following is _CLOSING",
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

#: What goes wrong only while there are clocks, sockets and other clients.
SERVER: Final = [
    Bug(
        "a cancellation is swallowed",
        "server",
        "server.py",
        "if rest is not None:\n            raise rest",
        "",
    ),
    Bug(
        "a service that fails takes the server down",
        "server",
        "server.py",
        "_split(other, Exception)",
        "_split(other, ZeroDivisionError)",
    ),
    Bug(
        "a client that does not read takes the server down",
        "server",
        "server.py",
        "if orderly:\n                with suppress(PeerError):",
        "if orderly:\n                with suppress(OSError):",
    ),
    Bug(
        "all connections share a session",
        "server",
        "server.py",
        "return channel.converse(new_session())",
        'return channel.converse(conversation.__dict__.setdefault("one", new_session()))',
    ),
    Bug(
        "sockets are left open",
        "server",
        "server.py",
        "finally:\n            await channel.aclose()\n        return outcome",
        "finally:\n            pass\n        return outcome",
    ),
    Bug(
        "what waits in the accept queue at the stop is dropped",
        "server",
        "server.py",
        "acceptor.accept_waiting(sock, endpoint, BACKLOG)",
        "pass",
    ),
    Bug(
        "being out of descriptors ends the server",
        "server",
        "accepting.py",
        "if error.errno not in _NO_ROOM:",
        "if error.errno:",
    ),
    Bug(
        "a connection that is gone before it is accepted ends the server",
        "server",
        "accepting.py",
        "errno.ECONNABORTED,",
        "",
    ),
    Bug(
        "the drain has no end",
        "server",
        "server.py",
        "connections.cancel_scope.deadline = trio.current_time() + self._limits.drain_timeout",
        "pass",
    ),
    Bug(
        "conversations are not told of the stop",
        "server",
        "server.py",
        "self.drain.begin()",
        "pass",
    ),
    Bug(
        "what is there already when the drain begins goes unread",
        "server",
        "drain.py",
        "QUIET if self.begun",
        "0 if self.begun",
    ),
    Bug(
        "silence ends the conversation",
        "server",
        "drain.py",
        "finishing = self.begun",
        "finishing = True",
    ),
    Bug(
        "a client is prompted every so often",
        "server",
        "stream.py",
        "if session.awaits_silence:",
        "if not session.unfinished:",
    ),
    Bug(
        "the output is not ended",
        "server",
        "stream.py",
        "await self._stream.send_eof()",
        "await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a client that stays is waited for without end",
        "server",
        "stream.py",
        "with trio.move_on_after(self._limits.linger_timeout):",
        "with trio.CancelScope():",
    ),
    Bug(
        "a byte is lost when the kernel takes only a part",
        "server",
        "hub.py",
        "channel.unsent = memoryview(reply)[sent:]",
        "channel.unsent = memoryview(reply)[sent + 1 :]",
    ),
    Bug(
        "a client is read from while its reply waits",
        "server",
        "hub.py",
        "self.watch(channel, EPOLLOUT)\n                    continue",
        "self.watch(channel, EPOLLIN | EPOLLOUT)\n                    continue",
    ),
    Bug(
        "the end of the input is taken for a lost connection",
        "server",
        "hub.py",
        "channel.wake(_Why.END)",
        "channel.wake(ConnectionLost())",
    ),
    Bug(
        "the reply to a last line without LF is not sent",
        "server",
        "hub.py",
        "await self.send_all(session.end_of_input())",
        "session.end_of_input()",
    ),
    Bug(
        "what the kernel holds at the stop is dropped",
        "server",
        "hub.py",
        "elif self._why is _Why.DRAIN:\n            await self._finish(session)",
        "elif self._why is _Why.DRAIN:\n            await trio.lowlevel.checkpoint()",
    ),
    Bug(
        "a session that has said its last is not noticed",
        "server",
        "hub.py",
        "if session.closing:\n                channel.wake(_Why.CLOSING)\n        return",
        "return",
    ),
    Bug(
        "a client that does not read is never dropped",
        "server",
        "hub.py",
        "if now - self.stamp >= limits.write_timeout else None",
        "if now < self.stamp else None",
    ),
    Bug(
        "a line may take for ever",
        "server",
        "hub.py",
        "if self._line and now - self._line_seen >= limits.line_timeout:",
        "if self._line and now < self._line_seen:",
    ),
    Bug(
        "a connection may be quiet for ever",
        "server",
        "hub.py",
        "if now - self.stamp >= limits.idle_timeout else None",
        "if now < self.stamp else None",
    ),
    Bug(
        "a close with unread input resets the connection",
        "server",
        "hub.py",
        "if self._why is _Why.END and not self.unsent:\n            return",
        "if self._why:\n            return",
    ),
    Bug(
        "a client is prompted although it has just spoken",
        "server",
        "hub.py",
        "session.silence() if spoken is None else _answer(session, spoken)",
        "session.silence()",
    ),
    Bug(
        "a socket that was given back is still watched",
        "server",
        "hub.py",
        "self._epoll.unregister(channel.fd)",
        "pass",
    ),
    Bug(
        "a connection that has ended keeps its place",
        "server",
        "server.py",
        "self._admission.release(host)",
        "pass",
    ),
    Bug(
        "one connection too many is let in",
        "server",
        "admission.py",
        "if self.open >= self.most:\n            return",
        "if self.open > self.most:\n            return",
    ),
    Bug(
        "who is refused is not told",
        "server",
        "server.py",
        "await channel.send_all(REFUSAL)",
        "await trio.lowlevel.checkpoint()",
    ),
]

CONNECTION: Final = [
    Bug(
        "what is held for sending is sent twice",
        "connection",
        "connection.py",
        "and self._channel.hold(data):\n            return",
        "and self._channel.hold(data):\n            pass",
    ),
    Bug(
        "a read that was given up keeps others from reading",
        "connection",
        "connection.py",
        "finally:\n            self._receiving = False",
        "finally:\n            pass",
    ),
    Bug(
        "two tasks may read at once",
        "connection",
        "connection.py",
        "if self._receiving or self._closed:",
        "if self._closed:",
    ),
    Bug(
        "a line that was begun may take for ever",
        "connection",
        "connection.py",
        "line = self._buffer.unfinished\n",
        "line = 0\n",
    ),
    Bug(
        "a line that was only begun is returned at the drain",
        "connection",
        "connection.py",
        "return wanted.taken",
        "return wanted.taken if wanted.closing else self._buffer.take_rest() or None",
    ),
    Bug(
        "a connection is used on behind a cancelled send",
        "connection",
        "connection.py",
        "except BaseException:\n            await self.aclose()",
        "except ZeroDivisionError:\n            await self.aclose()",
    ),
    Bug(
        "fewer bytes come than were asked for",
        "connection",
        "connection.py",
        "raise InputEnded(count, len(self._buffer))",
        "return self._buffer.take_rest()",
    ),
]

CAPITALS: Final = [
    Bug(
        "a character that is cut is none",
        "utf8",
        "capitals.py",
        "self._decoder.decode(data, final)",
        'data.decode("utf-8", _UNTOUCHED)',
    ),
    Bug(
        "what is held back is lost at the end",
        "utf8",
        "capitals.py",
        'return self._raise(b"", final=True)',
        'return b""',
    ),
    Bug(
        "what is no character is replaced",
        "utf8",
        "capitals.py",
        '_UNTOUCHED: Final = "surrogateescape"',
        '_UNTOUCHED: Final = "replace"',
    ),
]

BUGS: Final = [*FRAMING, *SESSION, *ENDPOINT, *SERVER, *CONNECTION, *CAPITALS]
