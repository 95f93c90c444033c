"""A host of a simulated network, for servers and clients to run on: `Host`."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import trio

from caas_trio.drivers.machine import Machine

from .datagrams import DatagramSocket
from .files import EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT, Epoll, File, Poll, os_error
from .streams import StreamSocket
from .triosocket import Names, Sockets, TrioSocket
from .world import Node

_READABLE: Final = EPOLLIN | EPOLLERR | EPOLLHUP
_WRITABLE: Final = EPOLLOUT | EPOLLERR | EPOLLHUP

_LOOPBACK: Final = ("127.0.0.1", "::1")
_ANY: Final = ("0.0.0.0", "::")  # noqa: S104 - what a host without a name stands for


class Host(Machine):
    """One host of a `Network`, which makes it: the `machine` of servers and clients that run on it.

    A Unix socket's path is a name on this host alone: there is no file, no mode and no lock, and
    `takeover` does not wait.

    Attributes:
        name: its name, which other hosts can look up.
        address: its IPv4 address.
    """

    has_epoll = True
    has_files = False
    busy_polls = 1  # nothing comes while the hub polls

    def __init__(self, node: Node) -> None:
        self.name = node.name
        self.address = node.addresses[0]
        self._node = node
        self._busy: set[tuple[File, int]] = set()

    # For tests

    @property
    def open_descriptors(self) -> int:
        """How many descriptors are open."""
        return len(self._node.descriptors)

    def limit_descriptors(self, limit: int) -> None:
        """Set how many descriptors may be open; those that are open stay."""
        self._node.descriptors.limit = limit

    def fail_accepts(self, *numbers: int) -> None:
        """Fail the next accepts that find a connection, each with one of these error numbers."""
        self._node.accept_errors += numbers

    def fail_receives(self, *numbers: int) -> None:
        """Fail the next receives of its datagram sockets, each with one of these error numbers.

        They take the place of those of an earlier call.
        """
        self._node.receive_errors[:] = numbers

    def fail_sends(self, *numbers: int) -> None:
        """Fail the next sends of its datagram sockets, likewise."""
        self._node.send_errors[:] = numbers

    def set_buffers(self, *, send: int | None = None, receive: int | None = None) -> None:
        """Set the sizes of the buffers of sockets that are made from now on, in bytes."""
        self._node.send_buffer = self._node.send_buffer if send is None else send
        self._node.receive_buffer = self._node.receive_buffer if receive is None else receive

    def set_credentials(self, pid: int, uid: int, gid: int) -> None:
        """Set the process, user and group that the peers of its Unix sockets see."""
        self._node.credentials = (pid, uid, gid)

    def trio_socket(self, family: int, kind: int) -> TrioSocket:
        """Return a new socket with the interface of `trio.socket`, which the caller closes."""
        return TrioSocket(self, self.new_socket(family, kind))

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Within a block, open the sockets of `trio.socket` and resolve names on this host.

        So `trio.open_tcp_stream`, `trio.serve_tcp` and what is built on them run on it, within the block
        and in all tasks of the run. What uses the standard library's sockets does not.
        """
        sockets = trio.socket.set_custom_socket_factory(Sockets(self))
        names = trio.socket.set_custom_hostname_resolver(Names(self))
        try:
            yield
        finally:
            trio.socket.set_custom_socket_factory(sockets)
            trio.socket.set_custom_hostname_resolver(names)

    # Machine

    async def wait_readable(self, file: Any) -> None:
        """Wait until a socket, or an epoll descriptor, can be read from; see `trio.lowlevel`."""
        await self._wait(file, _READABLE)

    async def wait_writable(self, file: Any) -> None:
        """Wait until a socket can be written to; see `trio.lowlevel`."""
        await self._wait(file, _WRITABLE)

    def notify_closing(self, file: Any) -> None:
        """Do nothing: a task that waits for a socket is woken when it is closed."""

    def monotonic(self) -> float:
        """Return trio's time."""
        return trio.current_time()

    def new_socket(self, family: int, kind: int) -> Any:
        """Return a new socket; see `Machine.new_socket`.

        Raises:
            OSError: EMFILE, EPROTONOSUPPORT.
        """
        match kind:
            case socket.SOCK_STREAM:
                return StreamSocket(self._node, family)
            case socket.SOCK_DGRAM:
                return DatagramSocket(self._node, family)
        raise os_error(errno.EPROTONOSUPPORT)

    def socket_pair(self) -> tuple[Any, Any]:
        """Return two Unix stream sockets that are connected; see `socket.socketpair`.

        Raises:
            OSError: EMFILE.
        """
        one = StreamSocket(self._node, socket.AF_UNIX)
        try:
            return one, one.pair()
        except OSError:
            one.close()
            raise

    def accept(self, listening: Any, family: int, kind: int) -> tuple[Any, Any]:  # noqa: ARG002
        """Return what `listening.accept()` does."""
        return listening.accept()  # type: ignore[no-any-return]

    def stream(self, sock: Any) -> trio.SocketStream:
        """Return a stream over a connected socket, which it owns."""
        return trio.SocketStream(TrioSocket(self, sock))

    def poll(self) -> Any:
        """Return an object that polls descriptors."""
        return Poll(self._node.descriptors)

    def epoll(self) -> Any:
        """Return a new epoll descriptor."""
        return Epoll(self._node.descriptors)

    def waiting(self, sock: Any) -> int:
        """Return how many bytes wait to be read."""
        return sock.unread  # type: ignore[no-any-return]

    async def getaddrinfo(
        self, host: str, port: int, *, kind: int, flags: int = 0
    ) -> list[tuple[int, int, int, str, tuple[Any, ...]]]:
        """Resolve a host name; see `Machine.getaddrinfo`.

        Raises:
            socket.gaierror: there is none of that name.
        """
        await trio.lowlevel.checkpoint()
        return [
            (socket.AF_INET6, kind, 0, "", (address, port, 0, 0))
            if ":" in address
            else (socket.AF_INET, kind, 0, "", (address, port))
            for address in self.addresses_of(host, passive=bool(flags & socket.AI_PASSIVE))
        ]

    def addresses_of(self, host: str, *, passive: bool = False) -> tuple[str, ...]:
        """Return the addresses of a host; without a name, of all interfaces or of loopback."""
        if not host:
            return _ANY if passive else _LOOPBACK
        if host == "localhost":
            return _LOOPBACK
        if host in self._node.world.nodes:
            return self._node.world.nodes[host].addresses
        try:
            return (str(ipaddress.ip_address(host)),)
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    async def open_tcp(self, host: str, port: int) -> trio.SocketStream:
        """Connect to a TCP port of another host, or of this one, trying its addresses in turn.

        Raises:
            OSError: ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, EMFILE, ...
        """
        failure: OSError | None = None
        for family, _, _, _, address in await self.getaddrinfo(host, port, kind=socket.SOCK_STREAM):
            try:
                return await self._connected(family, address)
            except OSError as error:
                failure = failure or error
        assert failure is not None  # noqa: S101 - every host has an address
        raise failure

    async def open_unix(self, path: str) -> trio.SocketStream:
        """Connect to a Unix socket of this host.

        Raises:
            OSError: ENOENT, ECONNREFUSED, EAGAIN if the queue is full.
        """
        return await self._connected(socket.AF_UNIX, path)

    async def _connected(self, family: int, address: Any) -> trio.SocketStream:
        sock = TrioSocket(self, self.new_socket(family, socket.SOCK_STREAM))
        try:
            await sock.connect(address)
        except BaseException:
            sock.close()
            raise
        return trio.SocketStream(sock)

    def open_spare(self) -> int:
        """Open a descriptor that reserves a place in the table."""
        return self._node.descriptors.open(None)

    def close(self, fd: int) -> None:
        """Close a descriptor."""
        self._node.descriptors.close(fd)

    def max_descriptors(self) -> int:
        """Return how many descriptors may be open."""
        return self._node.descriptors.limit

    async def _wait(self, file: File, events: int) -> None:
        if file.closed:
            raise trio.ClosedResourceError
        if file.ready & events:
            await trio.lowlevel.checkpoint()
            return
        if (file, events) in self._busy:
            raise trio.BusyResourceError("another task waits for the same")
        task = trio.lowlevel.current_task()

        def look() -> None:
            if file.closed or file.ready & events:
                file.watchers.remove(look)
                trio.lowlevel.reschedule(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            file.watchers.remove(look)
            return trio.lowlevel.Abort.SUCCEEDED

        file.watchers.append(look)
        self._busy.add((file, events))
        try:
            await trio.lowlevel.wait_task_rescheduled(abort)
        finally:
            self._busy.discard((file, events))
        if file.closed:
            raise trio.ClosedResourceError
