"""How stream sockets of a simulated host are connected: `ConnectingSocket`, with its accept queue."""

from __future__ import annotations

import abc
import enum
import errno
import os
import socket
from collections import deque
from typing import Any, Self

from .files import os_error
from .handshake import Handshake
from .sockets import SimSocket
from .wire import Wire, WireEnd
from .world import Node


class State(enum.Enum):
    """The state of a stream socket."""

    NEW = enum.auto()
    LISTENING = enum.auto()
    CONNECTING = enum.auto()
    CONNECTED = enum.auto()
    OVER = enum.auto()  # reset, ended by both sides, or never connected


class ConnectingSocket(SimSocket, WireEnd):
    """The part of a TCP or Unix stream socket that listens and connects.

    Attributes:
        remote: the other side's address.
        arriving: how many connections are about to be put into its accept queue.
    """

    def __init__(self, node: Node, family: int, *, opened: bool = True) -> None:
        super().__init__(node, family, socket.SOCK_STREAM, opened=opened)
        self.remote: Any = None
        self.arriving = 0
        self._state = State.NEW
        self._peer: Self | None = None
        self._out: Wire | None = None
        self._connect_reported = False
        self._shut_unconnected = False
        self._eof_received = self._output_ended = self._input_ended = False
        self._backlog = 0
        self._queue: deque[Self] = deque()
        self._credentials = super().peer_credentials()

    @abc.abstractmethod
    def abandon(self) -> None:
        """Close a connection that was never accepted: its client gets a reset."""

    @property
    def takes_new(self) -> bool:
        """Whether it gets new connections."""
        return self._state is State.LISTENING and not self._input_ended

    @property
    def is_bound(self) -> bool:
        """Whether `bind` comes too late: a TCP socket without a port of its own may be bound again."""
        if self.is_local:
            return self.local is not None
        return self._key is not None or self._state not in {State.NEW, State.OVER}

    @property
    def connecting(self) -> bool:
        """Whether its handshake is under way."""
        return self._state is State.CONNECTING and not self.closed

    @property
    def has_room(self) -> bool:
        """Whether one more connection may wait to be accepted."""
        return len(self._queue) + self.arriving <= self._backlog

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Return an option; see `SimSocket.getsockopt`."""
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            self.require_open()
            return int(self._state is State.LISTENING)
        return super().getsockopt(level, option, size)

    def peer_credentials(self) -> tuple[int, int, int]:
        """Return process, user and group of the other side, as SO_PEERCRED does."""
        return self._credentials

    def listen(self, backlog: int = 128) -> None:
        """Take connections; `backlog` is the longest queue, less one.

        Raises:
            OSError: EADDRINUSE, EINVAL.
        """
        self.require_open()
        if self._state not in {State.NEW, State.LISTENING} or (self.is_local and self._key is None):
            raise os_error(errno.EINVAL)
        if not self.is_local:
            self.bind_to_any_port(self._any)
            same = self.node.clashing(self.type, self.family, self.local[0], self.local[1])
            if any(each.takes_new for each in same if each is not self):
                raise os_error(errno.EADDRINUSE)
        self._state = State.LISTENING
        self._backlog = min(backlog, self.node.backlog)
        self.changed()

    def accept(self) -> tuple[Self, Any]:
        """Return the next connection, and where it is from.

        Raises:
            OSError: EAGAIN, EMFILE, EINVAL, or what `Node.accept_errors` plans.
        """
        self.require_open()
        if self._state is not State.LISTENING:
            raise os_error(errno.EINVAL)
        if self.node.accept_errors and self._queue:
            raise os_error(self.node.accept_errors.pop(0))
        self.node.descriptors.require_room()
        if not self._queue:
            raise os_error(errno.EAGAIN)
        accepted = self._queue.popleft()
        accepted.open_descriptor()
        return accepted, accepted.remote

    def connect(self, address: Any) -> None:
        """Begin to connect, or raise the outcome of an attempt.

        Raises:
            OSError: EINPROGRESS, EALREADY, EISCONN; ECONNREFUSED, ENOENT, EAGAIN, EHOSTUNREACH, ...
        """
        self.require_open()
        if self.is_local:
            self._connect_local(os.fsdecode(address))
        elif self._state is State.NEW:
            self._connect_internet(address[0], address[1])
        else:
            self._report_on_connect()

    def connect_ex(self, address: Any) -> int:
        """Do as `connect`, and return the error number, 0 for none."""
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or 0
        return 0

    def _report_on_connect(self) -> None:
        """Return the outcome of a TCP connect so far; one that has failed may be tried again."""
        if self._state is State.CONNECTING:
            raise os_error(errno.EALREADY)
        if self._state is State.LISTENING or self._connect_reported:
            raise os_error(errno.EINVAL if self._shut_unconnected else errno.EISCONN)
        if self._state is State.OVER:
            number, self.error = self.error or errno.ECONNABORTED, 0
            self._disconnect()
            raise os_error(number)
        self._connect_reported = True

    def _disconnect(self) -> None:
        """Forget the connection, or the listening; the port stays."""
        if self._state is State.CONNECTING:
            self.error = errno.ECONNRESET
        self._abandon_queue()
        self._become(State.NEW)
        self._input_ended = self._output_ended = self._eof_received = False
        self._peer = self._out = None
        self.changed()

    def _connect_local(self, name: str) -> None:
        listener = self.named(name)
        if not listener.takes_new:
            raise os_error(errno.ECONNREFUSED)
        if not listener.has_room:
            raise os_error(errno.EAGAIN)
        if self._state is not State.NEW:
            raise os_error(errno.EINVAL if self._state is State.LISTENING else errno.EISCONN)
        self.remote = listener.local
        accepted = listener.meet(self)
        self.established(accepted)
        listener.arriving += 1
        listener.enqueue(accepted)

    def _connect_internet(self, host: str, port: int) -> None:
        target = self.node.world.route(self.node, host)
        source = self.source_for(host)
        self.bind_to_any_port(source)
        if self.local[0] == self._any:
            self.local = self.as_address(source, self.local[1])
        self.remote = self.as_address(host, port)
        self._state = State.CONNECTING
        Handshake(self, target).begin()
        raise os_error(errno.EINPROGRESS)

    def failed(self, number: int) -> None:
        """Note that the handshake has failed."""
        if self.connecting:
            self.error = number
            self._become(State.OVER)
            self.changed()

    def _become(self, state: State) -> None:
        """Leave a connection, or the listening; an ephemeral port is free again."""
        self._state = state
        if not (self.is_local or self._port_is_given):
            self.release_name()

    def established(self, accepted: Self) -> None:
        """Note that the connection is established, with its other end."""
        self._peer = accepted
        self._state = State.CONNECTED
        self._credentials = accepted.node.credentials
        self.changed()

    def pair(self) -> Self:
        """Connect it, a new Unix socket, as socketpair(2) does; return the other one.

        Raises:
            OSError: EMFILE.
        """
        other = self.meet(self)
        other.open_descriptor()
        self.local = self.remote = other.local = other.remote = ""
        self.established(other)
        return other

    def meet(self, client: Self) -> Self:
        """Return the other end of a client's connection to this listening socket."""
        world = self.node.world
        accepted = type(self)(self.node, self.family, opened=False)
        accepted.join(client, {} if self.is_local else self._options)
        name = str(world.next_connection())
        client.send_to(accepted, f"{name}>")
        accepted.send_to(client, f"{name}<")
        whence = client.node.name if self.is_local else f"{client.node.name}:{client.local[1]}"
        world.kernel.record(f"{name}>", "connected", whence.encode())
        return accepted

    def join(self, client: Self, options: dict[tuple[int, int], Any]) -> None:
        """Become the other end of a client's connection."""
        self._options.update(options)
        self._state, self._connect_reported = State.CONNECTED, True
        self._peer, self._credentials = client, client.node.credentials
        self.local = client.remote
        self.remote = "" if self.is_local and client.local is None else client.local

    def send_to(self, peer: Self, name: str) -> None:
        """Send to another socket from now on, over a wire of this name."""
        link = self.node.world.link(self.node.name, peer.node.name)
        self._out = Wire(self.node.world.kernel, link, name, self, peer)

    def send_later(self, seconds: float) -> None:
        """Delay what is sent now until at least `seconds` from now."""
        assert self._out is not None  # noqa: S101 - it is connected
        self._out.arrive_later(seconds)

    def enqueue(self, accepted: Self) -> None:
        """Put a connection into the accept queue; if the listener is gone, it is reset."""
        self.arriving -= 1
        if self.closed:
            accepted.abandon()
        else:
            self._queue.append(accepted)
            self.changed()

    def _abandon_queue(self) -> None:
        for accepted in self._queue:
            accepted.abandon()
        self._queue.clear()
