"""The events that a server reports: `Telemetry`; the counts that it keeps."""

from __future__ import annotations

import enum
import logging
from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from .endpoint import Endpoint
from .errors import FAULTS, ConnectionLost, TooSlow
from .peer import Peer
from .terminator import LF

#: The name that stands for all beyond the limit of `BoundedNames`.
OTHER: Final = "other"


class Outcome(enum.StrEnum):
    """How an admitted connection ended."""

    COMPLETED = "completed"
    """The conversation was over."""
    LOST = "lost"
    """The client reset the connection, or was gone."""
    TIMED_OUT = "timed_out"
    """The client let a timeout pass."""
    PEER_ERROR = "peer_error"
    """The client did something else that ended the conversation."""
    FAILED = "failed"
    """The session or the handler has a bug."""
    REFUSED = "refused"
    """The client did not show what it had to before the conversation."""
    CUT_OFF = "cut_off"
    """The server stopped, and did not wait any longer."""

    __hash__ = str.__hash__  # written in C, unlike Enum's


class ConnectionStats(Protocol):
    """The traffic of a connection so far; it may be read at any time.

    Attributes:
        received: how many bytes have been read.
        sent: how many the kernel has taken.
    """

    received: int
    sent: int


#: The bounds of the histogram of clients' waits (seconds).
BOUNDS: Final = (
    *(0.00001, 0.000025, 0.00005, 0.0001, 0.00025, 0.0005, 0.001),
    *(0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
)


#: From this many bytes a line on, LFs are found faster one by one than counted.
_LONG: Final = 64


class Conversation(Protocol):
    """A conversation, which counts its oversize lines."""

    @property
    def oversize_lines(self) -> int:
        """How many there have been so far."""


class ListenerStats:
    """The connections that came in at an endpoint, in numbers; they may be read at any time.

    Attributes:
        endpoint: where they came in.
        accepted: how many were admitted.
        ended: how many of these have ended, by outcome.
    """

    __slots__ = ("accepted", "ended", "endpoint")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.accepted = 0
        self.ended = dict.fromkeys(Outcome, 0)


class ServerStats:
    """The counts over all connections of a server so far; they may be read at any time.

    Attributes:
        listeners: how many there were, for each listener.
        received: how many bytes have been read.
        sent: how many the kernel, or the stream, has taken.
        lines: how many LFs were among those read.
        waits: how often something that a client had sent was served within each of `BOUNDS`, and
            not within the one before; the last number is for what took longer than all of them.
        waited: the sum of these times, in seconds.
    """

    __slots__ = (
        "_conversations",
        "_oversize_before",
        "lines",
        "listeners",
        "received",
        "sent",
        "waited",
        "waits",
    )

    def __init__(self) -> None:
        self.listeners: list[ListenerStats] = []
        self.received = 0
        self.sent = 0
        self.lines = 0
        self.waits = [0] * (len(BOUNDS) + 1)
        self.waited = 0.0
        self._conversations: dict[int, Conversation] = {}  # those that last
        self._oversize_before = 0  # in those that are over

    def add_listener(self, endpoint: Endpoint) -> ListenerStats:
        """Return what counts the connections of a listener."""
        listener_stats = ListenerStats(endpoint)
        self.listeners.append(listener_stats)
        return listener_stats

    @property
    def oversize(self) -> int:
        """How many lines were too long."""
        lasting = self._conversations.values()
        return self._oversize_before + sum(conversation.oversize_lines for conversation in lasting)

    def begin(self, conversation: Conversation) -> None:
        """Count the lines that are too long in a conversation, from now on until it has ended."""
        self._conversations[id(conversation)] = conversation

    def ended(self, conversation: Conversation) -> None:
        """Note the end of a conversation, which may have been too short to begin to count in it."""
        self._conversations.pop(id(conversation), None)
        self._oversize_before += conversation.oversize_lines

    def read(self, data: bytes) -> None:
        """Count what was read."""
        size = len(data)
        self.received += size
        self.lines += data.count(LF) if size < _LONG else _line_feeds(data)

    def served(self, reads: int, seconds: float) -> None:
        """Count reads that were served, and the seconds within which each of them was."""
        self.waits[bisect_left(BOUNDS, seconds)] += reads
        self.waited += reads * seconds


def _line_feeds(data: bytes) -> int:
    """Return how many LFs there are.

    `count` looks at each byte; `find` and `replace` leap from one LF to the next, ten times as fast
    where lines have a kilobyte. `replace` makes a copy, and is given up where lines turn out to be short.
    """
    first = data.find(LF)
    if first < 0:
        return 0
    if first == len(data) - 1:
        return 1
    if first >= _LONG:
        limit = len(data) // _LONG
        found = len(data) - len(data.replace(LF, b"", limit))
        if found < limit:
            return found
    return data.count(LF)


class Telemetry:
    """Observes a server. Subclass it and override the events you want.

    The calls come from the server's own tasks: they must not block. What a call raises costs neither the
    server nor a connection: it is logged as an error of the logger `caas_trio`, once for each event, and
    the telemetry goes on being called.
    """

    def listening(self, endpoint: Endpoint) -> None:
        """Note that connections, or datagrams, are taken there from now on."""

    def counting(self, stats: ServerStats) -> None:
        """Receive the statistics, which count connections, bytes and lines from now on.

        Unless it is overridden, bytes and lines are not counted.
        """

    def connection_opened(self, endpoint: Endpoint, peer: Peer) -> None:
        """Note that a connection was admitted. `connection_closed` follows, whatever happens.

        To count them alone, read `ServerStats`, which costs less.
        """

    def connection_closed(
        self, outcome: Outcome, stats: ConnectionStats | None, endpoint: Endpoint, peer: Peer, seconds: float
    ) -> None:
        """Note the end of an admitted connection, after `seconds`.

        `stats` is None if there was no conversation.
        """

    def conversation_begun(self, stats: ConnectionStats, endpoint: Endpoint, peer: Peer) -> None:
        """Note that the handshakes of a connection are done, and that it is served from now on."""

    def conversation_failed(self, error: Exception, endpoint: Endpoint, peer: Peer) -> None:
        """Note that a session or a handler raised `error`; its connection was ended, no other."""

    def conversation_ended(self, error: Exception | None, endpoint: Endpoint) -> None:
        """Note that a conversation has ended without a bug.

        `error` is None, or what the peer did to end it: a `PeerError`, or a group of them. Each
        conversation that is not cut off is reported once, here or by `conversation_failed`.
        """

    def connection_refused(self, reason: str, endpoint: Endpoint, peer: Peer) -> None:
        """Note that a connection was refused, and why."""

    def datagram_served(self, endpoint: Endpoint) -> None:
        """Note that a datagram was answered, or that the service returned no reply.

        Each datagram is reported once, here or by one of the next two, unless a stop cuts it off.
        """

    def datagram_dropped(self, reason: str, endpoint: Endpoint, sender: Peer | None) -> None:
        """Note that a datagram was not answered, and why.

        `sender` is None if the kernel reports afterwards that a reply did not arrive, and not whose.
        """

    def datagram_failed(self, error: Exception, endpoint: Endpoint, sender: Peer) -> None:
        """Note that the service raised `error` for a datagram; no other one is concerned."""

    def accept_failed(self, error: OSError, endpoint: Endpoint) -> None:
        """Note that the machine had no room for a connection, or a datagram; it is tried again."""

    def drain_timed_out(self) -> None:
        """Note that conversations were cut off because `drain_timeout` was over."""


#: The events of `Telemetry`, by name.
EVENTS: Final = tuple(name for name in vars(Telemetry) if not name.startswith("_"))

#: Those that come with every connection.
_OF_EACH: Final = ("connection_opened", "conversation_begun", "connection_closed")


def listens_to_each(telemetry: Telemetry) -> bool:
    """Return whether a telemetry wants every connection reported; if not, no connection keeps the values."""
    return any(_listens(telemetry, name) for name in _OF_EACH)


def listens_to_stats(telemetry: Telemetry) -> bool:
    """Return whether a telemetry wants bytes and lines counted."""
    return _listens(telemetry, "counting")


def _listens(telemetry: Telemetry, name: str) -> bool:
    return getattr(getattr(telemetry, name), "__func__", None) is not getattr(Telemetry, name)


def together(*telemetries: Telemetry) -> Telemetry:
    """Return a telemetry that calls all of these, in this order; each only for the events it overrides."""
    combined = Telemetry()
    for name in EVENTS:
        wanted = [getattr(each, name) for each in telemetries if _listens(each, name)]
        if len(wanted) == 1:
            setattr(combined, name, wanted[0])
        elif wanted:
            setattr(combined, name, _calling_each([_Guard(each, name) for each in wanted]))
    return combined


def guarded(telemetry: Telemetry) -> Telemetry:
    """Return a telemetry that passes events on to `telemetry` and raises nothing."""
    safe = Telemetry()
    for name in EVENTS:
        if _listens(telemetry, name):
            setattr(safe, name, _Guard(getattr(telemetry, name), name))
    return safe


class _Guard:
    """Calls the observer of one event; logs the first error that it raises."""

    def __init__(self, observe: Callable[..., None], event: str) -> None:
        self._observe = observe
        self._event = event
        self._failed = False

    def __call__(self, *args: object) -> None:
        try:
            self._observe(*args)
        except FAULTS:
            if not self._failed:
                self._failed = True
                logging.getLogger("caas_trio").exception("the telemetry raised an error at %s", self._event)


def _calling_each(wanted: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def call_each(*args: object) -> None:
        for observe in wanted:
            observe(*args)

    return call_each


class BoundedNames:
    """Keeps a bounded number of names, the first ones: names may come from outside."""

    def __init__(self, max_names: int = 32) -> None:
        self._max_names = max_names
        self._known: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return `name`, or "other" if it is beyond the limit."""
        if name not in self._known:
            if len(self._known) >= self._max_names:
                return OTHER
            self._known.add(name)
        return name


def outcome_of(error: Exception) -> Outcome:
    """Return the outcome of a conversation that a peer's error ended."""
    match error:
        case ConnectionLost():
            return Outcome.LOST
        case TooSlow():
            return Outcome.TIMED_OUT
    return Outcome.PEER_ERROR
