"""Datagram sockets of a simulated host: `DatagramSocket`, over UDP or of the Unix domain."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from .files import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, EPOLLRDHUP, os_error
from .links import schedule_datagram
from .sockets import SimSocket
from .world import CREDENTIALS, Node

#: The longest datagram: of UDP over IPv4, and of a Unix socket with the usual buffer.
_MAX_UDP: Final = 65507

#: The space in the receive buffer that each takes beside its bytes.
_OVERHEAD: Final = 256

#: unix(7), net.unix.max_dgram_qlen: how many may wait at a Unix socket before a sender has to wait.
_MAX_WAITING: Final = 10


class _Arrived(NamedTuple):
    data: bytes
    address: Any
    credentials: tuple[int, int, int]


class DatagramSocket(SimSocket):
    """A UDP socket or a Unix one for datagrams.

    Attributes:
        remote: where `send` sends to; None before `connect`.
    """

    def __init__(self, node: Node, family: int) -> None:
        super().__init__(node, family, socket.SOCK_DGRAM)
        self.remote: Any = None
        self._peer: DatagramSocket | None = None  # of a Unix socket that is connected
        self._senders: dict[DatagramSocket, None] = {}  # those that are connected to this one
        self._waiting: deque[_Arrived] = deque()
        self._held = 0
        self._input_ended = False
        self._output_ended = False
        self._options[socket.SOL_SOCKET, socket.SO_SNDBUF] = node.send_buffer
        self._options[socket.SOL_SOCKET, socket.SO_RCVBUF] = node.receive_buffer

    @property
    def ready(self) -> int:
        """What it is ready for; that the receiver is full, `sendto` alone notices if it is not connected."""
        events = 0 if self._must_wait else EPOLLOUT
        if self._waiting:
            events |= EPOLLIN
        if self._input_ended:
            events |= EPOLLIN | EPOLLRDHUP
        if self._input_ended and self._output_ended:
            events |= EPOLLHUP
        if self.error:
            events |= EPOLLERR | EPOLLIN
        return events

    @property
    def _must_wait(self) -> bool:
        """Whether the Unix socket that it is connected to has no room for more."""
        peer = self._peer
        return peer is not None and not peer.closed and peer._peer is not self and peer.is_full  # noqa: SLF001 - of the same class

    @property
    def is_full(self) -> bool:
        """Whether a Unix socket has no room for one more datagram."""
        return len(self._waiting) > _MAX_WAITING

    def connect(self, address: Any) -> None:
        """Set where `send` sends to, and whom it receives from.

        Raises:
            OSError: ECONNREFUSED, ENOENT, EPROTOTYPE, EPERM, EHOSTUNREACH.
        """
        self.require_open()
        if self.is_local:
            former, self._peer = self._peer, self._reachable(os.fsdecode(address))
            if self._peer is not former:
                self._leave(former)
                self._peer._senders[self] = None  # noqa: SLF001 - of the same class
            self.remote = address
            return
        self.node.world.route(self.node, address[0])
        source = self.source_for(address[0])
        self.bind_to_any_port(source)
        if self.local[0] == self._any:
            self.local = self.as_address(source, self.local[1])
        self.remote = self.as_address(address[0], address[1])

    def shutdown(self, how: int) -> None:
        """End the input, the output, or both; those that send to the input of a Unix socket get an error.

        Raises:
            OSError: ENOTCONN, of a UDP socket that is not connected.
        """
        self.require_open()
        if not self.is_local and self.remote is None:
            raise os_error(errno.ENOTCONN)
        self._input_ended |= how != socket.SHUT_WR
        self._output_ended |= how != socket.SHUT_RD
        self.changed()

    def getpeername(self) -> Any:
        """Return where `send` sends to.

        Raises:
            OSError: ENOTCONN.
        """
        self.require_open()
        if self.remote is None:
            raise os_error(errno.ENOTCONN)
        return self.remote

    def send(self, data: Any, flags: int = 0) -> int:
        """Send a datagram to where it is connected to.

        Raises:
            OSError: EDESTADDRREQ or ENOTCONN, and as `sendto`.
        """
        self.require_open()
        if self.remote is None:
            raise os_error(errno.ENOTCONN if self.is_local else errno.EDESTADDRREQ)
        return self.sendto(data, flags, self.remote)

    def sendto(self, data: Any, *rest: Any) -> int:
        """Send a datagram; a UDP one that cannot be kept is lost, a Unix one not sent.

        Raises:
            OSError: EMSGSIZE, EHOSTUNREACH; EPIPE after a shutdown; of an earlier one, ECONNREFUSED; of a
                Unix socket ENOENT, ECONNREFUSED, EPERM if the receiver is connected elsewhere, EAGAIN if
                it is full.
        """
        self.require_open()
        self.raise_error()
        _raise_next(self.node.send_errors)
        address, payload = rest[-1], bytes(data)
        if self._output_ended:
            raise os_error(errno.EPIPE)
        if self.is_local:
            self._send_local(payload, os.fsdecode(address))
        else:
            self._send_internet(payload, address[0], address[1])
        return len(payload)

    def sendmsg(
        self, buffers: Iterable[Any], ancillary: Iterable[Any] = (), flags: int = 0, address: Any = None
    ) -> int:
        """Send one datagram made of several buffers; ancillary data is ignored.

        Raises:
            OSError: as `sendto`.
        """
        del ancillary
        payload = b"".join(bytes(each) for each in buffers)
        return self.send(payload, flags) if address is None else self.sendto(payload, flags, address)

    def recvfrom(self, max_bytes: int, flags: int = 0) -> tuple[bytes, Any]:
        """Return the next datagram, cut to `max_bytes`, and its sender.

        Raises:
            OSError: EAGAIN; of an earlier one, ECONNREFUSED.
        """
        arrived = self._next(flags)
        return arrived.data[:max_bytes], arrived.address

    def recv(self, max_bytes: int, flags: int = 0) -> bytes:
        """Return the next datagram, cut to `max_bytes`; raises as `recvfrom`."""
        return self.recvfrom(max_bytes, flags)[0]

    def recvmsg_into(
        self, buffers: Iterable[Any], ancillary_size: int = 0, flags: int = 0
    ) -> tuple[int, list[tuple[int, int, bytes]], int, Any]:
        """Receive the next datagram into the first buffer; raises as `recvfrom`.

        Return its size, who sent it on a Unix socket that is to know, MSG_TRUNC if it was cut, and its
        sender's address.
        """
        arrived = self._next(flags)
        memory = memoryview(next(iter(buffers))).cast("B")
        data = arrived.data[: len(memory)]
        memory[: len(data)] = data
        ancillary: list[tuple[int, int, bytes]] = []
        if ancillary_size and self.is_local:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, CREDENTIALS.pack(*arrived.credentials))]
        cut = socket.MSG_TRUNC if len(data) < len(arrived.data) else 0
        return len(data), ancillary, cut, arrived.address

    def _next(self, flags: int) -> _Arrived:
        self.require_open()
        self.raise_error()
        if not self._waiting:
            raise os_error(errno.EAGAIN)
        _raise_next(self.node.receive_errors)
        if flags & socket.MSG_PEEK:
            return self._waiting[0]
        arrived = self._waiting.popleft()
        self._held -= len(arrived.data) + _OVERHEAD
        for sender in self._senders:
            sender.changed()
        return arrived

    def _leave(self, former: DatagramSocket | None) -> None:
        """Drop datagrams of a former peer, and notify it if it sends here."""
        if former is not None:
            former._senders.pop(self, None)  # noqa: SLF001 - of the same class
        if self._waiting and former is not None:
            self._waiting.clear()
            self._held = 0
            if former._peer is self:  # noqa: SLF001 - of the same class
                former.error = errno.ECONNRESET
                former.changed()

    def _reachable(self, name: str) -> DatagramSocket:
        """Return the Unix socket of a name, if it may be sent to."""
        target: DatagramSocket = self.named(name)
        if target._peer not in {None, self}:
            raise os_error(errno.EPERM)
        return target

    def _send_local(self, data: bytes, name: str) -> None:
        target = self._reachable(name)
        if len(data) > self._options[socket.SOL_SOCKET, socket.SO_SNDBUF]:
            raise os_error(errno.EMSGSIZE)
        if target._input_ended:  # noqa: SLF001 - of the same class
            raise os_error(errno.EPIPE)
        if target.is_full:
            raise os_error(errno.EAGAIN)
        target.arrived(data, self.local, self.node.credentials)

    def _send_internet(self, data: bytes, host: str, port: int) -> None:
        if len(data) > _MAX_UDP:
            raise os_error(errno.EMSGSIZE)
        world = self.node.world
        target = world.route(self.node, host)
        self.bind_to_any_port(self._any)
        source = self.source_for(host) if self.local[0] == self._any else self.local[0]
        address = self.as_address(source, self.local[1])
        link = world.link(self.node.name, target.name)
        world.kernel.record(f"{source}:{address[1]}>{host}:{port}", "datagram", data)

        def deliver() -> None:
            receiver = target.find(self.type, host, port)
            world.kernel.record(f"{source}:{address[1]}>{host}:{port}", "arrived", data)
            if receiver is None:
                self._refused()
            else:
                receiver.arrived(data, address, self.node.credentials)

        schedule_datagram(link, world.kernel, len(data), deliver)

    def _refused(self) -> None:
        """Note that the port is unused: only a connected socket gets the error."""
        if self.remote is not None and not self.closed:
            self.error = errno.ECONNREFUSED
            self.changed()

    def _released(self) -> None:
        super()._released()
        if self._peer is not None:
            self._peer._senders.pop(self, None)  # noqa: SLF001 - of the same class

    def arrived(self, data: bytes, address: Any, credentials: tuple[int, int, int]) -> None:
        """Take a datagram, if there is room for it and it is from where this socket is connected to."""
        size = len(data) + _OVERHEAD
        if not self.is_local:
            if self.remote is not None and self.remote[:2] != address[:2]:
                return
            if self._held > self._options[socket.SOL_SOCKET, socket.SO_RCVBUF]:  # one may go beyond it
                self.node.world.kernel.record(str(self.local), "dropped", data)
                return
        self._held += size
        self._waiting.append(_Arrived(data, address, credentials))
        self.changed()


def _raise_next(numbers: list[int]) -> None:
    """Raise the first of the planned errors, once."""
    if numbers:
        raise os_error(numbers.pop(0))
