r"""A subset of Redis: PING, ECHO, SET, GET, DEL, INCR, INCRBY and QUIT, as counted words or a line of text.

*2\r\n$3\r\nGET\r\n$1\r\nk\r\n      $5\r\nhello\r\n
GET k\r\n                           $5\r\nhello\r\n

A client may send many commands before it reads a reply. What is stored is bounded, and so is a command.
Each worker has a store of its own: serve it with one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from typing import Final

import trio

import caas_trio

#: The most bytes that all keys and values may take together, with `PER_WORD` for each.
MAX_STORED: Final = 64 << 20
#: The most bytes that the words of one command may take, with `PER_WORD` for each.
MAX_COMMAND: Final = 1 << 20
#: What Python adds to a word.
PER_WORD: Final = 64
#: The most bytes of a line.
MAX_LINE: Final = 65536
#: How many bytes of replies are sent at once.
MAX_REPLIES: Final = 16384

#: What announces a few words, and a short one: looking it up is faster than reading the number.
COUNTS: Final = {b"*%d" % count: count for count in range(1, 17)}
SIZES: Final = {b"$%d" % size: size for size in range(1000)}
OK: Final = b"+OK\r\n"
_INTEGER: Final = re.compile(rb"0|-?[1-9][0-9]{0,18}")
_COUNT: Final = re.compile(rb".(-?[0-9]{1,9})\r\n")
MIN_INTEGER, MAX_INTEGER = -(1 << 63), (1 << 63) - 1


class Refused(Exception):  # noqa: N818 - an answer and no failure
    """A command is not carried out; the conversation goes on."""


class Garbled(Exception):  # noqa: N818 - the client's failure
    """What came is no command, and where the next one begins is unknown."""


class Store:
    """Values by their keys."""

    def __init__(self, max_bytes: int = MAX_STORED) -> None:
        self._values: dict[bytes, bytes] = {}
        self._free = max_bytes
        #: For each name, the method, and how many arguments it takes: at least, at most.
        self._commands: dict[bytes, tuple[Callable[..., bytes], int, int]] = {
            b"PING": (lambda *words: bulk(*words) if words else b"+PONG\r\n", 0, 1),
            b"ECHO": (bulk, 1, 1),
            b"SET": (self.set, 2, 2),
            b"GET": (self.get, 1, 1),
            b"DEL": (self.delete, 1, sys.maxsize),
            b"INCR": (self.increment, 1, 1),
            b"INCRBY": (self.increment, 2, 2),
            b"QUIT": (lambda *_: OK, 0, sys.maxsize),
        }

    def run(self, name: bytes, words: list[bytes]) -> bytes:
        """Carry out a command, whose first word is its name; return the reply."""
        method, minimum, maximum = self._commands.get(name, (None, 0, 0))
        if method is None:
            return b"-ERR unknown command '%b'\r\n" % shown(words[0])
        if not minimum < len(words) <= maximum + 1:
            return b"-ERR wrong number of arguments for '%b' command\r\n" % shown(name.lower())
        try:
            return method(*words[1:])
        except Refused as refusal:
            return f"-{refusal}\r\n".encode()

    def get(self, key: bytes) -> bytes:
        """Return the value."""
        return bulk(self._values.get(key))

    def set(self, key: bytes, value: bytes) -> bytes:
        """Store a value; refuse it if there is no room."""
        old = self._values.get(key)
        more = len(value) - len(old) if old is not None else len(key) + len(value) + 2 * PER_WORD
        if more > self._free:
            raise Refused("OOM command not allowed when used memory > 'maxmemory'.")
        self._free -= more
        self._values[key] = value
        return OK

    def delete(self, *keys: bytes) -> bytes:
        """Delete values; return how many there were."""
        deleted = [(key, self._values.pop(key)) for key in dict.fromkeys(keys) if key in self._values]
        self._free += sum(len(key) + len(value) + 2 * PER_WORD for key, value in deleted)
        return b":%d\r\n" % len(deleted)

    def increment(self, key: bytes, amount: bytes = b"1") -> bytes:
        """Add to a value; one that is missing counts as 0."""
        total = integer(self._values.get(key, b"0")) + integer(amount)
        if not MIN_INTEGER <= total <= MAX_INTEGER:
            raise Refused("ERR increment or decrement would overflow")
        self.set(key, b"%d" % total)
        return b":%d\r\n" % total

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client; the replies to commands that come together leave together."""
        commands = Commands()
        replies: list[bytes] = []
        size = 0
        name = b""
        try:
            while name != b"QUIT" and (chunk := await connection.receive_some()):
                for words in filter(None, commands.cut(chunk)):
                    name = words[0].upper()
                    reply = self.run(name, words)
                    replies.append(reply)
                    size += len(reply)
                    if name == b"QUIT":
                        break
                    if size >= MAX_REPLIES:
                        await connection.send(b"".join(replies))
                        await trio.lowlevel.checkpoint()  # other clients have their turn
                        replies.clear()
                        size = 0
                await connection.send(b"".join(replies))
                replies.clear()
                size = 0
        except (Garbled, caas_trio.LineTooLong) as error:
            reason = "too big inline request" if isinstance(error, caas_trio.LineTooLong) else str(error)
            await connection.send(b"".join([*replies, f"-ERR Protocol error: {reason}\r\n".encode()]))


class Commands:
    """Cuts what a client sends into commands, which are lists of words, a chunk at a time."""

    def __init__(self) -> None:
        self._buffer = caas_trio.LineBuffer(MAX_LINE)
        self._words: list[bytes] = []  # of the command that has begun
        self._expected = 0  # how many more it has
        self._size: int | None = None  # of the next one
        self._free = 0  # how many bytes these may take

    def cut(self, chunk: bytes) -> Iterator[list[bytes]]:
        """Yield the commands that are complete, and [] for an empty one.

        A call of the buffer for each line and word would take longer than all else if there are many. So a
        chunk is cut at each CR LF, and what is a whole command then is yielded without any: a line, or a
        count and for each word its size and itself.

        Raises:
            Garbled, LineTooLong: what came is no command.
        """
        if self._expected:
            self._buffer.feed(chunk)
            if (words := self._next()) is None:
                return
            yield words
            chunk = b""
        parts = (self._buffer.take_rest() + chunk if self._buffer else chunk).split(b"\r\n")
        start, last = 0, len(parts) - 1
        while start < last:
            line = parts[start]
            expected = COUNTS.get(line, 0)
            end = start + 1 + 2 * expected
            if expected:
                words = parts[start + 2 : end : 2]
                whole = end <= last and [*map(SIZES.get, parts[start + 1 : end : 2])] == [*map(len, words)]
            else:
                words = line.split()
                whole = not line.startswith(b"*") and b"\n" not in line and len(line) <= MAX_LINE
            if not whole:
                break
            yield words
            start = end
        if start < last or parts[last]:
            self._buffer.feed(b"\r\n".join(parts[start:]))
            while (words := self._next()) is not None:
                yield words

    def _next(self) -> list[bytes] | None:
        """Return the next command in the buffer; None if it is not complete yet."""
        if not self._expected:
            if (line := self._buffer.next_line()) is None:
                return None
            if not line.startswith(b"*"):
                return line.split()
            self._words, self._free = [], MAX_COMMAND
            self._expected = max(0, count(line, b"*", -1, MAX_COMMAND // PER_WORD, "multibulk"))
        while self._expected:
            if self._size is None:
                if (line := self._buffer.next_line()) is None:
                    return None
                self._size = count(line, b"$", 0, self._free - PER_WORD, "bulk")
            if (word := self._buffer.take_exactly(self._size + 2)) is None:
                return None
            if not word.endswith(b"\r\n"):
                raise Garbled("expected CRLF behind a word")
            self._words.append(word[:-2])
            self._free -= self._size + PER_WORD
            self._expected -= 1
            self._size = None
        return self._words


def count(line: bytes, mark: bytes, minimum: int, maximum: int, kind: str) -> int:
    """Return the number in a line that consists of a mark and a number."""
    if not line.startswith(mark):
        raise Garbled(f"expected '{mark.decode()}', got '{shown(line[:1]).decode()}'")
    found = _COUNT.fullmatch(line)
    if found is None or not minimum <= int(found[1]) <= maximum:
        raise Garbled(f"invalid {kind} length")
    return int(found[1])


def integer(value: bytes) -> int:
    """Return the number that a value is, if it has 64 bits and no more."""
    if not _INTEGER.fullmatch(value) or not MIN_INTEGER <= int(value) <= MAX_INTEGER:
        raise Refused("ERR value is not an integer or out of range")
    return int(value)


def bulk(value: bytes | None) -> bytes:
    """Return a value as a client gets it."""
    return b"$-1\r\n" if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def shown(word: bytes) -> bytes:
    """Return a client's word as an error may show it."""
    return re.sub(rb"[^ -~]", b"?", word[:64])


app = caas_trio.App(handler=Store().handler, limits=caas_trio.Limits(max_connections=1000))

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
