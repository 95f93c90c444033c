"""A kernel that does to a server, at the script's command, what a real one may do at any time."""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from caas_trio.drivers.machine import Machine

#: The smallest the kernel allows: a reply of a few KiB does not fit.
_SMALL_BUFFER: Final = 1


@dataclass
class Kernel:
    """The behavior of the sockets of a `FaultyMachine`.

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

    def host_of(self, number: int) -> str:
        """Return where the connection comes from that is accepted as this one, counted from 0."""
        return self.hosts[number % len(self.hosts)]


class FaultyMachine(Machine):
    """The real machine with the faults of a kernel, which can be replaced at any time.

    Attributes:
        kernel: how its sockets behave.
    """

    accept_burst = 2  # so small that a few clients exceed it
    gentle_refusals = 1

    def __init__(self) -> None:
        self.kernel = Kernel()

    def accept(self, listening: socket.socket, family: int, kind: int) -> tuple[socket.socket, Any]:
        kernel = self.kernel
        if kernel.faults:
            number = kernel.faults.pop()
            raise OSError(number, os.strerror(number))
        fd, address = listening._accept()  # type: ignore[attr-defined]
        sock = _Accepted(family, kind, 0, fd)
        sock.max_sent = kernel.max_sent
        if kernel.small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
        if kernel.hosts:
            address = (kernel.host_of(len(kernel.accepted)), 50007)
        kernel.accepted.append(sock)
        return sock, address

    def stream(self, sock: socket.socket) -> trio.abc.HalfCloseableStream:
        plain = socket.socket(sock.family, sock.type, 0, sock.detach())  # trio takes no other kind
        accepted = self.kernel.accepted
        accepted[accepted.index(sock)] = plain
        return super().stream(plain)

    def open_spare(self) -> int:
        if self.kernel.spares_gone:
            self.kernel.spares_gone -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().open_spare()


class _Accepted(socket.socket):
    """An accepted socket whose sends each take a limited number of bytes; 0 for no such limit."""

    max_sent = 0

    def send(self, data: Any, flags: int = 0) -> int:
        most = self.max_sent
        return super().send(data[:most] if most else data, flags)
