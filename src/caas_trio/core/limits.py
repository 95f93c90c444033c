"""The limits a server keeps, in one place: `Limits`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

from .buffering import DEFAULT_MAX_LINE
from .errors import LimitError

#: The limits that are numbers of things, 1 or more; None, where it may be, is no limit.
COUNTS: Final = (
    "max_line",
    "max_connections",
    "max_per_host",
    "max_rate_per_host",
    "max_unsent",
    "max_datagrams",
)
#: The limits that are times, in seconds.
TIMES: Final = (
    "opening_timeout",
    "prompt_delay",
    "idle_timeout",
    "line_timeout",
    "write_timeout",
    "linger_timeout",
    "drain_timeout",
)


class AtCapacity(enum.Enum):
    """What happens to a connection that comes while the server has as many as it may."""

    REFUSE = "refuse"
    """It gets an error line and is closed."""
    WAIT = "wait"
    """It waits in the kernel's accept queue until there is room; if the server stops first, it is refused."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits a server keeps; all times in seconds, `math.inf` for no limit.

    Attributes:
        max_line: for `Connection`, the most bytes a line may have before its terminator. A session
            has a limit of its own.
        max_connections: how many connections may be open at a time, on all endpoints together;
            lowered to what RLIMIT_NOFILE allows.
        max_per_host: how many of them one host may have; None for no limit. An IPv6 client counts
            by its /64, the least that one customer gets; Unix sockets do not count, nor does a
            proxy's connection whose header names no client.
        max_rate_per_host: how many new connections one host may open in a second, and at once; None for no
            limit. Hosts count as for `max_per_host`.
        at_capacity: what happens to one more. A host that is over a limit of its own is always refused.
        max_unsent: how many bytes of what `Connection.post` was given may wait to be sent; with one
            more the connection ends.
        max_datagrams: how many datagrams handlers may work on at a time; one more is dropped. A
            service that is a plain function has one at a time.
        opening_timeout: how long a client may take to show what it has to before the conversation
            begins.
        prompt_delay: with `First.EITHER`, how long a client may keep silent before it is prompted.
        idle_timeout: how long a connection may be quiet, in both directions, while the server waits for
            input. A handler that does not read is never idle.
        line_timeout: how long a line may take from its first byte to its LF; with
            `Oversize.STREAM`, each `max_line` bytes of it.
        write_timeout: how long the client may take to accept what one read of its input made the
            server say, or what one call of `Connection.send` sends.
        linger_timeout: how long, after its last reply, the server waits for the client to end the
            connection, reading on and throwing away: a close with unread input makes the kernel
            send a reset, and a reset can destroy replies on their way.
        drain_timeout: how long, once a stop is asked for, conversations may take to finish what has
            been received.

    Raises:
        LimitError: a value is out of its range.
    """

    max_line: int = DEFAULT_MAX_LINE
    max_connections: int = 10000
    max_per_host: int | None = None
    max_rate_per_host: int | None = None
    at_capacity: AtCapacity = AtCapacity.REFUSE
    max_unsent: int = 1048576
    max_datagrams: int = 1000
    opening_timeout: float = 5.0
    prompt_delay: float = 0.3
    idle_timeout: float = 300.0
    line_timeout: float = 60.0
    write_timeout: float = 60.0
    linger_timeout: float = 2.0
    drain_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what cannot be counted."""
        for name in COUNTS:
            count = getattr(self, name)
            if count is not None and count < 1:
                raise LimitError(name, count, "1 or more")
        for name in TIMES:
            seconds = getattr(self, name)
            if math.isnan(seconds) or seconds < 0:
                raise LimitError(name, seconds, "a number of seconds, 0 or more")
