"""The limits a server keeps, in one place: `Limits`.

No I/O, no clock, no trio.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from .errors import LimitError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits a server keeps; all times in seconds.

    Attributes:
        prompt_delay: with `First.EITHER`, how long a client may keep silent before it is prompted.
        idle_timeout: how long a connection may be quiet, in both directions.
        line_timeout: how long a line may take from its first byte to its LF; with
            `Oversize.STREAM`, each `max_line` bytes of it.
        write_timeout: how long the client may take to accept what one read of its input made the
            server say.
        linger_timeout: how long, after its last reply, the server waits for the client to end the
            connection, reading on and throwing away: a close with unread input makes the kernel
            send a reset, and a reset can destroy replies on their way.
        drain_timeout: how long, once a stop is asked for, conversations may take to finish what has
            been received.

    Raises:
        LimitError: a value is negative, or not a number.
    """

    prompt_delay: float = 0.3
    idle_timeout: float = 300.0
    line_timeout: float = 60.0
    write_timeout: float = 60.0
    linger_timeout: float = 2.0
    drain_timeout: float = 10.0

    def __post_init__(self) -> None:
        """Refuse what no clock can count."""
        for field in fields(self):
            value = getattr(self, field.name)
            if math.isnan(value) or value < 0:
                raise LimitError(field.name, value, "a number of seconds, 0 or more")
