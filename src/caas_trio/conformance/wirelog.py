"""The log of what passed over the wires of one case: bounded, whatever the server does."""

from __future__ import annotations

import enum
import time
from dataclasses import dataclass, field
from typing import Final

#: How many bytes of a piece are kept, and how many pieces.
_MAX_BYTES: Final = 256
_MAX_ENTRIES: Final = 250


class Event(enum.Enum):
    """The kind of an entry; the value is its text in a report."""

    CONNECTED = "connected"
    SENT = "sent"
    RECEIVED = "received"
    ENDED_INPUT = "client ended its input"
    END = "server ended its output"
    RESET = "server reset"
    CUT_OFF = "server ended its output without close_notify"
    CLIENT_RESET = "client reset"
    CLOSED = "client closed"
    REFUSED = "no connection"


@dataclass(slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        seconds: when it began, from the beginning of the case.
        client: on which connection.
        event: what.
        size: how many bytes passed; it grows while a large piece is sent.
        head: the first bytes that pass, or are to.
    """

    seconds: float
    client: int
    event: Event
    size: int
    head: bytes

    @property
    def data(self) -> bytes:
        """The first of the bytes that passed."""
        return self.head[: self.size]


@dataclass(slots=True)
class WireLog:
    """The entries of one case, and how many more there were."""

    entries: list[Entry] = field(default_factory=list)
    left_out: int = 0
    _start: float = field(default_factory=time.perf_counter)

    def add(self, client: int, event: Event, data: bytes | memoryview = b"") -> None:
        """Note an event."""
        self.begin(client, event, data).size = len(data)

    def begin(self, client: int, event: Event, data: bytes | memoryview) -> Entry:
        """Note an event that begins now; return its entry, whose bytes the caller counts.

        The entry does not belong to the log if that is full.
        """
        seconds = time.perf_counter() - self._start
        entry = Entry(seconds, client, event, 0, bytes(data[:_MAX_BYTES]))
        if len(self.entries) < _MAX_ENTRIES:
            self.entries.append(entry)
        else:
            self.left_out += 1
        return entry
