"""The options of stream sockets: `SocketOptions`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from caas_trio.core.errors import LimitError

#: Linux: the most seconds of TCP_KEEPIDLE, and of TCP_USER_TIMEOUT, which is counted in milliseconds.
_MAX_KEEPALIVE_S: Final = 32767
_MAX_USER_TIMEOUT_S: Final = 2147483
_MAX_BACKLOG: Final = 2147483647


@dataclass(frozen=True, kw_only=True)
class SocketOptions:
    """Options of listening sockets and their connections; times in seconds.

    Attributes:
        keepalive: how long a TCP connection may be silent before the kernel probes the peer; one that
            does not answer is lost after as long again, or after `user_timeout` if that
            is set. `math.inf` for never.
        user_timeout: how long what was sent over TCP may remain unacknowledged, or unsent because the
            peer does not read, before the connection is lost (TCP_USER_TIMEOUT, RFC 5482); `math.inf` for as
            long as the kernel likes.
        backlog: how many connections may wait to be accepted; the kernel lowers it to
            `net.core.somaxconn`. None for as many as that allows, and for what was set by the process that
            has opened an inherited socket.

    Raises:
        LimitError: a value is out of the kernel's range.
    """

    keepalive: float = 60.0
    user_timeout: float = 300.0
    backlog: int | None = None

    def __post_init__(self) -> None:
        """Refuse values that the kernel would refuse, or misread."""
        for name, limit in (("keepalive", _MAX_KEEPALIVE_S), ("user_timeout", _MAX_USER_TIMEOUT_S)):
            seconds = getattr(self, name)
            if not 1 <= seconds <= limit and seconds != math.inf:
                raise LimitError(name, seconds, f"1 to {limit} seconds, or inf")
        if self.backlog is not None and not 1 <= self.backlog <= _MAX_BACKLOG:
            raise LimitError("backlog", self.backlog, f"1 to {_MAX_BACKLOG}")
