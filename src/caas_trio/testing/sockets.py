"""The base of all sockets of a simulated host: `SimSocket`."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from types import TracebackType
from typing import Any, Self

from .files import File, os_error
from .world import CREDENTIALS, Node

#: Addresses of IPv6 end with flow information and scope.
_TAIL = (0, 0)


class SimSocket(File):
    """A socket of a simulated host, with the methods of `socket.socket` that a non-blocking one needs.

    It never blocks: a call that would block raises `BlockingIOError`, and `caas_trio.testing` waits in trio.

    Attributes:
        family: AF_INET, AF_INET6 or AF_UNIX.
        type: SOCK_STREAM or SOCK_DGRAM.
        is_local: whether it is a Unix socket.
        proto: 0.
        local: its own address; None until it has one.
        error: the error number that the next call raises, 0 for none.
    """

    proto = 0

    def __init__(self, node: Node, family: int, kind: int, *, opened: bool = True) -> None:
        super().__init__(node.descriptors, opened=opened)
        self.node = node
        self.family = socket.AddressFamily(family)
        self.type = socket.SocketKind(kind)
        self.is_local = family == socket.AF_UNIX
        self.local: Any = None
        self.error = 0
        self._key: tuple[Any, ...] | None = None
        self._port_is_given = False
        self._options: dict[tuple[int, int], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def takes_new(self) -> bool:
        """Whether connections or datagrams to its address are its."""
        return True

    @property
    def is_bound(self) -> bool:
        """Whether `bind` comes too late."""
        return self.local is not None

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the socket module's signature
        """Accept that it does not block.

        Raises:
            ValueError: it is to block.
        """
        if flag:
            raise ValueError("a simulated socket never blocks")

    def gettimeout(self) -> float:
        """Return 0: it never waits."""
        return 0.0

    def bind(self, address: Any) -> None:
        """Assign an address.

        Raises:
            OSError: EADDRINUSE, EADDRNOTAVAIL; EINVAL if it has one.
        """
        self.require_open()
        if self.is_bound:
            raise os_error(errno.EINVAL)
        if self.is_local:
            self._bind_local(os.fsdecode(address))
        else:
            self._bind_internet(address[0] or "0.0.0.0", address[1])  # noqa: S104 - what "" stands for

    def _bind_local(self, name: str) -> None:
        key = self._key_of(name)
        if key in self.node.bound:
            raise os_error(errno.EADDRINUSE)
        self.local = name.encode() if name.startswith("\0") else name
        self._bound(key)

    def _key_of(self, name: str) -> tuple[Any, ...]:
        """Return the key of a name: abstract names are another set for each type of socket."""
        return ("unix", name, self.type) if name.startswith("\0") else ("unix", name)

    def named(self, name: str) -> Any:
        """Return the Unix socket of this name.

        Raises:
            OSError: ENOENT if there is no such path, ECONNREFUSED if there is no such abstract name;
                EPROTOTYPE if it is of another type.
        """
        found = next(iter(self.node.bound.get(self._key_of(name), ())), None)
        if found is None:
            raise os_error(errno.ECONNREFUSED if name.startswith("\0") else errno.ENOENT)
        if found.type != self.type:
            raise os_error(errno.EPROTOTYPE)
        return found

    def _bind_internet(self, host: str, port: int) -> None:
        if ("." in host) is (self.family == socket.AF_INET6) or not self.node.has(host):
            raise os_error(errno.EADDRNOTAVAIL)
        self._port_is_given = port > 0
        if not port:
            port = self.node.free_port(self.type, self.family, host)
        elif any(self._excludes(each) for each in self.node.clashing(self.type, self.family, host, port)):
            raise os_error(errno.EADDRINUSE)
        self.local = self.as_address(host, port)
        self._bound((self.type, port))

    def _excludes(self, other: SimSocket) -> bool:
        """Return whether another socket at the same address is in the way."""
        reuse = (socket.SOL_SOCKET, socket.SO_REUSEADDR)
        return not (self._options.get(reuse) and other._options.get(reuse))

    def _bound(self, key: tuple[Any, ...]) -> None:
        self._key = key
        self.node.bind(key, self)

    def bind_to_any_port(self, host: str) -> None:
        """Bind it as `connect` and `sendto` do, if it is not bound."""
        if self._key is None:
            self.bind((host, 0))

    def as_address(self, host: str, port: int) -> tuple[Any, ...]:
        """Return an internet address as the socket module writes it for this family."""
        return (host, port, *_TAIL) if self.family == socket.AF_INET6 else (host, port)

    def getsockname(self) -> Any:
        """Return its address."""
        self.require_open()
        if self.local is None:
            return "" if self.is_local else self.as_address(self._any, 0)
        return self.local

    @property
    def _any(self) -> str:
        return "::" if self.family == socket.AF_INET6 else "0.0.0.0"  # noqa: S104 - an address like others

    def source_for(self, target: str) -> str:
        """Return the address of this host from which another one is reached."""
        if ipaddress.ip_address(target).is_loopback:
            return target
        v4, v6 = self.node.addresses
        return v6 if ":" in target else v4

    def setsockopt(self, level: int, option: int, value: Any) -> None:
        """Set an option; those without a meaning here are kept for `getsockopt`."""
        self.require_open()
        self._options[level, option] = value

    def getsockopt(self, level: int, option: int, size: int = 0) -> Any:
        """Return an option: an integer, or bytes if a size is given."""
        self.require_open()
        if (level, option) == (socket.SOL_SOCKET, socket.SO_ERROR):
            error, self.error = self.error, 0
            return error
        if (level, option) == (socket.SOL_SOCKET, socket.SO_PEERCRED):
            return CREDENTIALS.pack(*self.peer_credentials())
        value = self._options.get((level, option), 0)
        return value.to_bytes(size, "little") if size else value

    def peer_credentials(self) -> tuple[int, int, int]:
        """Return what SO_PEERCRED gives; the user nobody, for a socket without a peer."""
        return (0, -1, -1)

    def require_open(self) -> None:
        """Raise EBADF if it is closed."""
        if self.closed:
            raise os_error(errno.EBADF)

    def raise_error(self) -> None:
        """Raise the error that waits, once."""
        if self.error:
            error, self.error = self.error, 0
            raise os_error(error)

    def release_name(self) -> None:
        """Release its address."""
        if self._key is not None:
            self.node.unbind(self._key, self)
            self._key = None

    def _released(self) -> None:
        self.release_name()
