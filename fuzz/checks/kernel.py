"""What a kernel may do to a server at any time, made to happen when the script says so."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from caas_trio.server import accepting

_accept: Final = socket.socket.accept
_take: Final = accepting.accept
_send: Final = socket.socket.send
_open: Final = os.open
#: The smallest the kernel allows: a reply of a few KiB does not fit.
_SMALL_BUFFER: Final = 1


@dataclass
class Kernel:
    """How sockets behave while `misbehaving`.

    Attributes:
        small_buffers: whether accepted sockets can hold only a few KiB of output.
        max_sent: the most bytes that one send takes; 0 for no such limit.
        faults: error numbers that the next accepts fail with.
        spares_gone: how many times no spare descriptor can be had.
        hosts: the IP addresses that accepted connections come from, in turn; () for none.
        accepted: the sockets that were accepted.
    """

    small_buffers: bool = False
    max_sent: int = 0
    faults: list[int] = field(default_factory=list)
    spares_gone: int = 0
    hosts: tuple[str, ...] = ()
    accepted: list[socket.socket] = field(default_factory=list)

    @property
    def fills_up(self) -> bool:
        """Whether a socket's buffer may be full; many small pieces fill it as well as large ones."""
        return self.small_buffers or self.max_sent > 0

    def accept(
        self, take: Callable[..., tuple[socket.socket, Any]], listening: socket.socket, *how: int
    ) -> tuple[socket.socket, Any]:
        """Accept a connection by what does it otherwise, or fail as planned."""
        if self.faults:
            number = self.faults.pop()
            raise OSError(number, os.strerror(number))
        sock, address = take(listening, *how)
        if self.small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
        if self.hosts:
            address = (self.host_of(len(self.accepted)), 50007)
        self.accepted.append(sock)
        return sock, address

    def host_of(self, number: int) -> str:
        """Return where the connection comes from that is accepted as this one, counted from 0."""
        return self.hosts[number % len(self.hosts)]

    def open(self, path: str, *how: int) -> int:
        """Open a file, or fail as planned."""
        if self.spares_gone and path == os.devnull:
            self.spares_gone -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return _open(path, *how)


@dataclass
class Machine:
    """What runs a kernel, which can be changed at any time."""

    kernel: Kernel


@contextmanager
def misbehaving() -> Iterator[Machine]:
    """Make sockets behave as the kernel of a machine says; clients use `os.write` and are left alone."""
    machine = Machine(Kernel())

    def accept(sock: socket.socket) -> tuple[socket.socket, Any]:
        return machine.kernel.accept(_accept, sock)

    def take(sock: socket.socket, *how: int) -> tuple[socket.socket, Any]:
        return machine.kernel.accept(_take, sock, *how)

    def send(sock: socket.socket, data: Any, flags: int = 0) -> int:
        most = machine.kernel.max_sent
        return _send(sock, data[:most] if most else data, flags)

    def open_file(path: str, *how: int) -> int:
        return machine.kernel.open(path, *how)

    socket.socket.accept = accept  # type: ignore[assignment,method-assign]
    vars(accepting)["accept"] = take
    socket.socket.send = send  # type: ignore[assignment,method-assign]
    os.open = open_file  # type: ignore[assignment]
    try:
        yield machine
    finally:
        os.open = _open
        socket.socket.accept = _accept  # type: ignore[method-assign]
        vars(accepting)["accept"] = _take
        socket.socket.send = _send  # type: ignore[method-assign]
