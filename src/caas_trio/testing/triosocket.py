"""A simulated socket with the interface of `trio.socket`: `TrioSocket`."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import trio

from .files import EPOLLIN

if TYPE_CHECKING:
    from .host import Host

T = TypeVar("T")


class TrioSocket(trio.socket.SocketType):
    """A socket of a host with the methods of trio's, so that `trio.SocketStream` and the like take it.

    Args:
        host: where it is.
        sock: the socket, which it owns.
    """

    def __init__(self, host: Host, sock: Any) -> None:
        # Without its base's, which earlier releases of trio forbid to call.
        self._host = host
        self._sock = sock
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<simulated socket {self._sock.fileno()} of {self._host.name}>"

    @property
    def family(self) -> socket.AddressFamily:
        """See `socket.socket`."""
        return self._sock.family  # type: ignore[no-any-return]

    @property
    def type(self) -> socket.SocketKind:
        """See `socket.socket`."""
        return self._sock.type  # type: ignore[no-any-return]

    @property
    def proto(self) -> int:
        """See `socket.socket`."""
        return 0

    @property
    def did_shutdown_SHUT_WR(self) -> bool:  # noqa: N802 - trio's name
        """Whether the output was ended here."""
        return self._ended

    def fileno(self) -> int:
        """Return the descriptor, -1 once it is closed."""
        return self._sock.fileno()  # type: ignore[no-any-return]

    def close(self) -> None:
        """Close it; calls under way in other tasks raise `trio.ClosedResourceError`."""
        self._sock.close()

    def getsockname(self) -> Any:
        """See `socket.socket`."""
        return self._sock.getsockname()

    def getpeername(self) -> Any:
        """See `socket.socket`."""
        return self._sock.getpeername()

    def getsockopt(self, level: int, optname: int, buflen: int = 0) -> Any:
        """See `socket.socket`."""
        return self._sock.getsockopt(level, optname, buflen)

    def setsockopt(self, level: int, optname: int, value: Any, optlen: int | None = None) -> None:  # noqa: ARG002
        """See `socket.socket`."""
        self._sock.setsockopt(level, optname, value)

    def listen(self, backlog: int = 128) -> None:
        """See `socket.socket`."""
        self._sock.listen(backlog)

    def shutdown(self, flag: int) -> None:
        """See `socket.socket`."""
        self._sock.shutdown(flag)
        self._ended = self._ended or flag in {socket.SHUT_WR, socket.SHUT_RDWR}

    async def bind(self, address: Any) -> None:
        """See `socket.socket`; a host name is looked up."""
        await trio.lowlevel.checkpoint()
        self._sock.bind(self._resolved(address, passive=True))

    async def connect(self, address: Any) -> None:
        """Connect, as trio's sockets do. Cancelled, it closes the socket."""
        await trio.lowlevel.checkpoint()
        try:
            self._sock.connect(self._resolved(address))
        except BlockingIOError as error:
            if error.errno != errno.EINPROGRESS:
                raise
        else:
            return
        try:
            await self._host.wait_writable(self._sock)
        except trio.Cancelled:
            self.close()
            raise
        number = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            raise OSError(number, f"Error connecting to {address!r}: {os.strerror(number)}")

    async def accept(self) -> tuple[TrioSocket, Any]:
        """See `socket.socket`."""
        sock, address = await self._until_ready(self._host.wait_readable, self._sock.accept)
        return TrioSocket(self._host, sock), address

    async def recv(self, buflen: int, flags: int = 0, /) -> bytes:
        """See `socket.socket`."""
        return await self._until_ready(self._host.wait_readable, lambda: self._sock.recv(buflen, flags))

    async def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """See `socket.socket`."""
        return await self._until_ready(
            self._host.wait_readable, lambda: self._sock.recv_into(buffer, nbytes, flags)
        )

    async def recvfrom(self, bufsize: int, flags: int = 0, /) -> tuple[bytes, Any]:
        """See `socket.socket`."""
        return await self._until_ready(self._host.wait_readable, lambda: self._sock.recvfrom(bufsize, flags))

    async def send(self, data: Any, flags: int = 0, /) -> int:
        """See `socket.socket`."""
        return await self._until_ready(self._host.wait_writable, lambda: self._sock.send(data, flags))

    async def sendto(self, *args: Any) -> int:
        """See `socket.socket`; a host name is looked up."""
        data, *flags, address = args
        address = self._resolved(address)
        return await self._until_ready(
            self._host.wait_writable, lambda: self._sock.sendto(data, *flags, address)
        )

    def is_readable(self) -> bool:
        """Return whether a read would return at once."""
        return bool(self._sock.ready & EPOLLIN)

    async def wait_writable(self) -> None:
        """Wait until it can be written to."""
        await self._host.wait_writable(self._sock)

    def _resolved(self, address: Any, *, passive: bool = False) -> Any:
        """Return an address whose host is an IP address, of the socket's own family."""
        if self.family == socket.AF_UNIX:
            return os.fspath(address)
        host, port, *rest = address
        six = self.family == socket.AF_INET6
        for found in self._host.addresses_of(host, passive=passive):
            if (":" in found) is six:
                return (found, port, *rest)
        raise socket.gaierror(socket.EAI_ADDRFAMILY, "Address family for hostname not supported")

    async def _until_ready(self, wait: Callable[[Any], Awaitable[None]], call: Callable[[], T]) -> T:
        """Return what a call returns once it does not block; a checkpoint in any case."""
        await trio.lowlevel.checkpoint_if_cancelled()
        while True:
            try:
                result = call()
            except BlockingIOError:
                await wait(self._sock)
            else:
                await trio.lowlevel.cancel_shielded_checkpoint()
                return result


class Sockets(trio.abc.SocketFactory):
    """The socket factory of `trio.socket` where a host is installed."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM, proto: int = 0) -> Any:  # noqa: A002, ARG002
        """Return a new socket of the host."""
        return self._host.trio_socket(family, type)


class Names(trio.abc.HostnameResolver):
    """The resolver of `trio.socket.getaddrinfo` where a host is installed."""

    def __init__(self, host: Host) -> None:
        self._host = host

    async def getaddrinfo(self, host: bytes | None, port: Any, *how: int) -> Any:
        """Resolve a host name; a port is a number."""
        family, kind, _, flags = how
        name = (host or b"").decode()
        found = await self._host.getaddrinfo(name, int(port or 0), kind=kind, flags=flags)
        return [each for each in found if family in {0, each[0]}]

    async def getnameinfo(self, sockaddr: Any, flags: int) -> tuple[str, str]:  # noqa: ARG002 - trio's signature
        """Return the address itself: nothing has a name of its own."""
        await trio.lowlevel.checkpoint()
        return sockaddr[0], str(sockaddr[1])
