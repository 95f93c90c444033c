"""What reads and sends on a connection share: `ConnectionBase`."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio

from caas_trio.core.endpoint import Endpoint
from caas_trio.core.errors import PeerError, StateError
from caas_trio.core.framing import LineBuffer
from caas_trio.core.limits import Limits
from caas_trio.core.peer import Peer
from caas_trio.core.terminator import Terminator
from caas_trio.core.tls import Certificates

from .channel import Channel
from .drain import Drain
from .sendqueue import SendQueue
from .wanted import WantedLine

if TYPE_CHECKING:
    from .connection import Connection

#: How many calls in a row may be served without waiting before other tasks have their turn.
CALLS_IN_A_ROW: Final = 128

#: The connection whose handler, or a task that it has started, is running.
current_connection: ContextVar[Connection | None] = ContextVar("caas_trio_connection", default=None)

#: Part of `id`: identifies this process; with the process id, those that it forks too.
_START: Final = secrets.token_hex(4)

_numbers = count(1)


class ConnectionBase:
    """The parts of a connection, and the attribution of errors; see `Connection`."""

    peer: Peer
    certificate: Mapping[str, Any] | None
    failure: PeerError | None

    def __init__(  # noqa: PLR0917 - its makers have them in this order
        self,
        channel: Channel,
        endpoint: Endpoint | None,
        peer: Peer,
        limits: Limits,
        drain: Drain,
        tls: Certificates | ssl.SSLContext | None = None,
    ) -> None:
        self.peer = peer
        self.certificate = channel.certificate
        self._endpoint = endpoint
        self._channel = channel
        self._limits = limits
        self._drain = drain
        self._tls = tls
        self._buffer = LineBuffer(limits.max_line)
        self._held = self._buffer.held
        self._line = WantedLine(self._buffer, self._buffer.next_line)
        self._calls_left = CALLS_IN_A_ROW
        self._drained = False
        self._receiving = False
        self._sending = False
        self._queue: SendQueue | None = None  # of what waits for that
        self._closed = False
        self._standalone = False  # made by `over`: it belongs to no server
        self.failure = None
        self._number = next(_numbers)

    @property
    def endpoint(self) -> Endpoint:
        """Where the connection came in, or what was connected to.

        Raises:
            StateError: it was made by `over`, without an endpoint.
        """
        if self._endpoint is None:
            raise StateError("endpoint", "unknown")
        return self._endpoint

    @property
    def id(self) -> str:
        """A text that identifies the connection: no other one has it, in this process or any other."""
        return f"{_START}-{os.getpid():x}-{self._number}"

    @property
    def draining(self) -> bool:
        """Whether the server is stopping: finish, and return."""
        return self._drain.begun

    @property
    def busy(self) -> bool:
        """Whether a task is in a read or a send, or posted data waits."""
        return self._receiving or self._sending

    async def wait_draining(self) -> None:
        """Return once the server is stopping. Any number of tasks may wait."""
        begun = trio.Event()
        with self._drain.notifying(begun.set):
            await begun.wait()

    @property
    def terminator(self) -> Terminator:
        """What ends a line. A new one counts at once, for the line that is being received as well."""
        return self._buffer.terminator

    @terminator.setter
    def terminator(self, value: Terminator) -> None:
        self._buffer.terminator = value

    @property
    def max_line(self) -> int:
        """The most bytes a line may have before its terminator, from now on.

        Setting it raises `LimitError` unless it is 1 or more.
        """
        return self._limits.max_line

    @max_line.setter
    def max_line(self, value: int) -> None:
        self._change(replace(self._limits, max_line=value))
        self._buffer.max_line = value

    @property
    def idle_timeout(self) -> float:
        """How long the connection may be quiet while a task reads, in seconds; see `Limits`.

        Setting it raises `LimitError` unless it is a number, 0 or more. It counts from the next read on.
        """
        return self._limits.idle_timeout

    @idle_timeout.setter
    def idle_timeout(self, value: float) -> None:
        self._change(replace(self._limits, idle_timeout=value))

    @property
    def line_timeout(self) -> float:
        """How long a line may take, in seconds; as for `idle_timeout`."""
        return self._limits.line_timeout

    @line_timeout.setter
    def line_timeout(self, value: float) -> None:
        self._change(replace(self._limits, line_timeout=value))

    @property
    def write_timeout(self) -> float:
        """How long a `send` may take, in seconds. A new one counts from the next send on."""
        return self._limits.write_timeout

    @write_timeout.setter
    def write_timeout(self, value: float) -> None:
        self._change(replace(self._limits, write_timeout=value))

    async def aclose(self) -> None:
        """Close at once, whatever is unread or unsent. Returning from the handler is kinder."""
        self._closed = True
        self._channel.interrupt()
        await self._channel.aclose()

    def abandon(self) -> None:
        """Refuse further calls; the server closes the channel."""
        self._closed = True

    def _change(self, limits: Limits) -> None:
        self._limits = limits
        self._channel.set_limits(limits)

    def _is_foreign(self) -> bool:
        """Whether this is a task of another connection's handler."""
        served = current_connection.get()
        return served is not None and served is not self and not self._standalone

    def _own(self, error: PeerError) -> PeerError:
        """Return a peer's error, marked as this connection's."""
        error.connection = self
        return error

    def _misused(self, call: str) -> PeerError | StateError:
        """Return the error of a call that the connection cannot serve."""
        if self.failure is not None and not self._is_foreign():
            return self.failure
        return StateError(call, "closed" if self._closed else "busy: another task is in the same call")
