r"""memcached's text protocol: get, gets, set, add, cas, incr, delete, version, stats and quit.

set k 0 60 5\r\nhello\r\n       STORED\r\n
get k\r\n                       VALUE k 0 5\r\nhello\r\nEND\r\n

When the cache is full, the item goes that has not been used for the longest time. Each worker has a cache of
its own: serve it with one.
"""

from __future__ import annotations

import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

import caas_trio

#: The most bytes that all items may take together, with `PER_ITEM` for each.
MAX_STORED: Final = 64 << 20
#: The most bytes that a value may have.
MAX_VALUE: Final = 1 << 20
#: What Python adds to an item.
PER_ITEM: Final = 300
#: Up to 30 days a lifetime is in seconds; a larger number is a time, in seconds since 1970.
MAX_LIFETIME_S: Final = 60 * 60 * 24 * 30
MAX_KEY: Final = 250

_STORING: Final = re.compile(
    rb"(?P<verb>set|add|cas) +(?P<key>[!-~\x80-\xff]+) +(?P<flags>\d{1,10}) +(?P<lifetime>-?\d{1,10})"
    rb" +(?P<size>\d{1,10})(?: +(?P<version>\d{1,20}))?(?: +noreply)?"
)
KEY_TOO_LONG: Final = b"CLIENT_ERROR key too long"
_NUMBER: Final = re.compile(rb"\d{1,20}")


class Garbled(Exception):  # noqa: N818 - the client's failure
    """Where the next command begins is unknown."""


class Item(NamedTuple):
    """What is stored under a key."""

    value: bytes
    flags: int
    expires: float
    version: int


class Cache:
    """Items by their keys, the one that was used last at the end."""

    def __init__(self, max_bytes: int = MAX_STORED, clock: Callable[[], float] = time.time) -> None:
        self._items: OrderedDict[bytes, Item] = OrderedDict()
        self._max_bytes = max_bytes
        self._clock = clock
        self._used = 0
        self._version = 0

    def find(self, key: bytes) -> Item | None:
        """Return an item, unless it has expired."""
        if key in self._items and self._items[key].expires <= self._clock():
            self.delete(key)
        if key in self._items:
            self._items.move_to_end(key)
        return self._items.get(key)

    def store(self, key: bytes, value: bytes, flags: int, expires: float) -> bytes:
        """Store a value, at the cost of those that have not been used for the longest time."""
        self.delete(key)
        self._version += 1
        self._items[key] = Item(value, flags, expires, self._version)
        self._used += len(key) + len(value) + PER_ITEM
        while self._used > self._max_bytes:
            self.delete(next(iter(self._items)))
        return b"STORED"

    def expiry(self, lifetime: int) -> float:
        """Return when an item expires that is stored now, as `clock` has it."""
        if 0 < lifetime <= MAX_LIFETIME_S:
            return self._clock() + lifetime
        return float(lifetime) if lifetime else float("inf")

    def increment(self, key: bytes, delta: bytes) -> bytes:
        """Add to a number; return the sum, or what is wrong."""
        item = self.find(key)
        if not _NUMBER.fullmatch(delta):
            return b"CLIENT_ERROR invalid numeric delta argument"
        if item is None:
            return b"NOT_FOUND"
        if not _NUMBER.fullmatch(item.value):
            return b"CLIENT_ERROR cannot increment or decrement non-numeric value"
        value = b"%d" % ((int(item.value) + int(delta)) % (1 << 64))
        self.store(key, value, item.flags, item.expires)
        return value

    def delete(self, key: bytes) -> bytes:
        """Delete an item."""
        item = self._items.pop(key, None)
        if item is None:
            return b"NOT_FOUND"
        self._used -= len(key) + len(item.value) + PER_ITEM
        return b"DELETED"

    def statistics(self) -> bytes:
        """Return a few of memcached's many."""
        names = (b"curr_items", b"bytes", b"limit_maxbytes", b"time")
        values = (len(self._items), self._used, self._max_bytes, int(self._clock()))
        return b"".join(b"STAT %b %d\r\n" % each for each in zip(names, values, strict=True)) + b"END"

    async def handler(self, connection: caas_trio.Connection) -> None:
        """Serve one client."""
        try:
            async for line in connection.commands():
                command = line.rstrip()
                if command == b"quit":
                    return
                reply = await self.answer(connection, command)
                if not command.endswith(b" noreply"):
                    await connection.send(reply + b"\r\n")
        except (Garbled, caas_trio.LineTooLong) as error:
            await connection.send(b"CLIENT_ERROR %b\r\n" % str(error).encode())

    async def answer(self, connection: caas_trio.Connection, command: bytes) -> bytes:  # noqa: PLR0911
        """Carry out a command; return the last line of the reply."""
        match command.split():
            case [b"get" | b"gets", *keys] if any(len(key) > MAX_KEY for key in keys):
                return KEY_TOO_LONG
            case [b"get" | b"gets" as verb, *keys] if keys:
                for key in keys:  # sent one by one, however many there are
                    if (item := self.find(key)) is not None:
                        version = b" %d" % item.version if verb == b"gets" else b""
                        head = b"VALUE %b %d %d%b" % (key, item.flags, len(item.value), version)
                        await connection.send(b"%b\r\n%b\r\n" % (head, item.value))
                return b"END"
            case [b"set" | b"add" | b"cas", *_]:
                return await self.receive_item(connection, command)
            case [b"incr", key, delta] | [b"incr", key, delta, b"noreply"]:
                return self.increment(key, delta)
            case [b"delete", key] | [b"delete", key, b"noreply"]:
                return self.delete(key)
            case [b"version"]:
                return b"VERSION 1.0.0"
            case [b"stats"]:
                return self.statistics()
        return b"ERROR"

    async def receive_item(self, connection: caas_trio.Connection, command: bytes) -> bytes:
        """Receive the value that a command announces, and store it; return what became of it."""
        wanted = _STORING.fullmatch(command)
        if wanted is None or (wanted["verb"] == b"cas") != (wanted["version"] is not None):
            raise Garbled("bad command line format")
        key, size = wanted["key"], int(wanted["size"])
        if len(key) > MAX_KEY or size > MAX_VALUE:
            await connection.skip(size + 2)
            self.delete(key)  # a value that is outdated is worse than none
            return KEY_TOO_LONG if len(key) > MAX_KEY else b"SERVER_ERROR object too large for cache"
        value = await connection.receive_exactly(size + 2)
        if not value.endswith(b"\r\n"):
            raise Garbled("bad data chunk")
        old = self.find(key)
        if wanted["verb"] == b"add" and old is not None:
            return b"NOT_STORED"
        if wanted["verb"] == b"cas" and (old is None or old.version != int(wanted["version"])):
            return b"NOT_FOUND" if old is None else b"EXISTS"
        return self.store(key, value[:-2], int(wanted["flags"]), self.expiry(int(wanted["lifetime"])))


app = caas_trio.App(handler=Cache().handler, limits=caas_trio.Limits(max_connections=1000))

if __name__ == "__main__":
    caas_trio.run(app, *sys.argv[1:])
