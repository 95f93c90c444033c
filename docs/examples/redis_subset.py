r"""A subset of Redis: PING, ECHO, SET, GET, DEL, INCR, INCRBY and QUIT, as counted words or a line of text.

*2\r\n$3\r\nGET\r\n$1\r\nk\r\n      $5\r\nhello\r\n
GET k\r\n                           $5\r\nhello\r\n

A client may send many commands before it reads a reply. What is stored is bounded, and so is a command.
Each worker has a store of its own: serve it with one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
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

    def run(self, name: bytes, arguments: list[bytes]) -> bytes:
        """Carry out a command; return the reply."""
        method, minimum, maximum = self._commands.get(name.upper(), (None, 0, 0))
        if method is None:
            return b"-ERR unknown command '%b'\r\n" % shown(name)
        if not minimum <= len(arguments) <= maximum:
            return b"-ERR wrong number of arguments for '%b' command\r\n" % shown(name.lower())
        try:
            return method(*arguments)
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

    def answer(self, commands: Commands) -> bytes:
        """Run commands that have come, as long as the replies are short; return these."""
        replies: list[bytes] = []
        size = 0
        try:
            while size < MAX_REPLIES and (words := commands.take()) is not None:
                if words:
                    reply = self.run(words[0], words[1:])
                    replies.append(reply)
                    size += len(reply)
                    commands.over = words[0].upper() == b"QUIT"
        except Garbled as error:
            replies.append(f"-ERR Protocol error: {error}\r\n".encode())
            commands.over = True
        return b"".join(replies)

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client; the replies to commands that come together leave together."""
        commands = Commands()
        missing = 0
        while not commands.over:
            chunk = await (connection.receive_exactly(missing) if missing else connection.receive_some())
            if not chunk:
                return
            commands.feed(chunk)
            while replies := self.answer(commands):
                await connection.send(replies)
                if len(replies) < MAX_REPLIES:
                    break
                await trio.lowlevel.checkpoint()  # other clients have their turn
            missing = commands.missing


class Commands:
    """Cuts what a client sends into commands, which are lists of words, a chunk at a time.

    `Connection` cuts lines and counted words as well, in a call for each. With many small ones in flight the
    calls take longer than all else, which is why this makes none.

    Attributes:
        over: whether no command is wanted any more.
        missing: how many bytes are to come until there can be another command; 0 if that is unknown.
    """

    def __init__(self) -> None:
        self.over = False
        self.missing = 0
        self._chunk = b""
        self._at = 0  # where in it the next line begins
        self._words: list[bytes] = []  # of the command that has begun
        self._expected = 0  # how many more it has
        self._free = 0  # how many bytes these may take
        self._parts: list[bytes] = []  # the chunk, cut at each CR LF,
        self._part = 0  # and which of them is next; past the last one, if the chunk is not taken so

    def feed(self, chunk: bytes) -> None:
        """Take in what has been received."""
        self._chunk = self._chunk[self._at :] + chunk
        self._at = self.missing = self._part = 0
        self._parts = [] if self._expected else self._chunk.split(b"\r\n")

    def take(self) -> list[bytes] | None:
        """Return the next command; None if it is not complete yet.

        Raises:
            Garbled: it is none.
        """
        if self.over or self._at == len(self._chunk):
            return None
        if not self._expected:
            if words := self._take_short():
                return words
            line = self._take_line()
            if not line.startswith(b"*"):
                return line.split() if line else None
            self._words, self._free = [], MAX_COMMAND
            self._expected = max(0, count(line, b"*", -1, MAX_COMMAND // PER_WORD, "multibulk"))
        chunk = self._chunk
        while self._expected:
            start = self._at
            line = self._take_line()
            if not line:
                return None
            size = count(line, b"$", 0, self._free - PER_WORD, "bulk")
            end = self._at + size
            if end + 2 > len(chunk):
                self.missing = end + 2 - len(chunk)
                self._at = start
                return None
            if not chunk.startswith(b"\r\n", end):
                raise Garbled("expected CRLF behind a word")
            self._words.append(chunk[self._at : end])
            self._at = end + 2
            self._free -= size + PER_WORD
            self._expected -= 1
        return self._words

    def _take_short(self) -> list[bytes]:
        """Return the next command if it is short, complete, and has no CR LF within a word; [] otherwise.

        Then it is cut already: into a count, and for each word its size and itself.
        """
        parts, first = self._parts, self._part
        if first == len(parts):
            return []
        end = first + 1 + 2 * COUNTS.get(parts[first], len(parts))
        words = parts[first + 2 : end : 2]
        sizes = map(SIZES.get, parts[first + 1 : end : 2])
        if end >= len(parts) or list(sizes) != list(map(len, words)):
            self._part = len(parts)  # the rest is taken line by line
            return []
        self._part = end
        self._at += sum(map(len, parts[first:end])) + 2 * (end - first)
        return words

    def _take_line(self) -> bytes:
        """Return the next line; b"" if it is not complete yet."""
        start = self._at
        end = self._chunk.find(b"\n", start) + 1
        if (end or len(self._chunk)) - start > MAX_LINE:
            raise Garbled("too big inline request")
        self._at = end or start
        return self._chunk[start:end]


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
