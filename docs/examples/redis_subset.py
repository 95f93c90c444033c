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

import caas_trio

#: The most bytes that all keys and values may take together, with `PER_WORD` for each.
MAX_STORED: Final = 64 << 20
#: The most bytes that the words of one command may take, with `PER_WORD` for each.
MAX_COMMAND: Final = 1 << 20
#: What Python adds to a word.
PER_WORD: Final = 64
#: How much of a client's word an error shows.
MAX_SHOWN: Final = 64

OK: Final = b"+OK\r\n"
NONE: Final = b"$-1\r\n"
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
            b"PING": (self.ping, 0, 1),
            b"ECHO": (bulk, 1, 1),
            b"SET": (self.set, 2, 2),
            b"GET": (self.get, 1, 1),
            b"DEL": (self.delete, 1, sys.maxsize),
            b"INCR": (self.increment, 1, 1),
            b"INCRBY": (self.increment, 2, 2),
            b"QUIT": (lambda *_: OK, 0, sys.maxsize),
        }

    def run(self, name: bytes, arguments: list[bytes]) -> bytes:
        """Carry out a command; return the reply.

        Raises:
            Refused: it is unknown, has too few arguments or too many, or cannot be carried out.
        """
        command = self._commands.get(name.upper())
        if command is None:
            raise Refused(f"ERR unknown command '{shown(name)}'")
        method, minimum, maximum = command
        if not minimum <= len(arguments) <= maximum:
            raise Refused(f"ERR wrong number of arguments for '{shown(name.lower())}' command")
        return method(*arguments)

    def ping(self, message: bytes | None = None) -> bytes:
        """Return the message, PONG without one."""
        return b"+PONG\r\n" if message is None else bulk(message)

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
        deleted = 0
        for key in keys:
            value = self._values.pop(key, None)
            if value is not None:
                self._free += len(key) + len(value) + 2 * PER_WORD
                deleted += 1
        return b":%d\r\n" % deleted

    def increment(self, key: bytes, amount: bytes = b"1") -> bytes:
        """Add to a value; one that is missing counts as 0."""
        total = integer(self._values.get(key, b"0")) + integer(amount)
        if not MIN_INTEGER <= total <= MAX_INTEGER:
            raise Refused("ERR increment or decrement would overflow")
        self.set(key, b"%d" % total)
        return b":%d\r\n" % total

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client."""
        name = b""
        try:
            while name.upper() != b"QUIT" and (words := await receive_command(connection)) is not None:
                if not words:
                    continue
                name, *arguments = words
                try:
                    reply = self.run(name, arguments)
                except Refused as refusal:
                    reply = f"-{refusal}\r\n".encode()
                await connection.send(reply)
        except caas_trio.LineTooLong:
            await connection.send(b"-ERR Protocol error: too big inline request\r\n")
        except Garbled as error:
            await connection.send(f"-ERR Protocol error: {error}\r\n".encode())


async def receive_command(connection: caas_trio.Connection) -> list[bytes] | None:
    """Return the words of the next command; None if the input ended before it was complete.

    What has been received is taken without waiting, which is faster.

    Raises:
        Garbled: it is none.
    """
    line = connection.take_line() or await connection.receive_line()
    if not line.startswith(b"*"):
        return line.split() if line.endswith(b"\n") else None
    left = MAX_COMMAND
    words: list[bytes] = []
    for _ in range(count(line, b"*", -1, left // PER_WORD, "multibulk")):
        line = connection.take_line() or await connection.receive_line()
        if not line.endswith(b"\n"):
            return None
        size = count(line, b"$", 0, left, "bulk")
        word = connection.take_exactly(size + 2) or await connection.receive_exactly(size + 2)
        if not word.endswith(b"\r\n"):
            raise Garbled("expected CRLF behind a word")
        words.append(word[:-2])
        left -= size + PER_WORD
    return words


def count(line: bytes, mark: bytes, minimum: int, maximum: int, kind: str) -> int:
    """Return the number in a line that consists of a mark and a number."""
    if not line.startswith(mark):
        raise Garbled(f"expected '{mark.decode()}', got '{shown(line[:1])}'")
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
    return NONE if value is None else b"$%d\r\n%b\r\n" % (len(value), value)


def shown(word: bytes) -> str:
    """Return a client's word as an error may show it."""
    return re.sub(rb"[^ -~]", b"?", word[:MAX_SHOWN]).decode()


app = caas_trio.App(handler=Store().handler, limits=caas_trio.Limits(max_connections=1000))

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
