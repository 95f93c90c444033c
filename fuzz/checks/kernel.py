"""A kernel that does to a server, at the script's command, what a real one may do at any time."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

import trio

from caas_trio.testing import Host
from caas_trio.testing.streams import StreamSocket
from caas_trio.testing.triosocket import TrioSocket
from caas_trio.testing.world import Node

#: A reply of a few KiB does not fit.
_SMALL_BUFFER: Final = 4096


@dataclass
class Kernel:
    """The behavior of the sockets of a `FaultyHost`.

    Attributes:
        small_buffers: whether accepted sockets hold only a few KiB of output.
        max_sent: the most bytes that one send takes; 0 for no such limit.
        faults: error numbers that the next accepts fail with.
        spares_gone: how many times no spare descriptor can be had.
        hosts: the IP addresses that accepted connections come from, in turn; () for none.
        accepted: the sockets that were accepted.
        close_faults: error numbers that the next closes of streams fail with; they are closed all the same.
        closed_badly: how many have.
        asked: called with each of them whose unread bytes are asked for.
        polled: called when the server is about to poll for what clients send within its turn.
    """

    small_buffers: bool = False
    max_sent: int = 0
    faults: list[int] = field(default_factory=list)
    spares_gone: int = 0
    hosts: tuple[str, ...] = ()
    accepted: list[StreamSocket] = field(default_factory=list)
    close_faults: list[int] = field(default_factory=list)
    closed_badly: int = 0
    asked: Callable[[StreamSocket], object] = id
    polled: Callable[[], object] = bool

    @property
    def fills_up(self) -> bool:
        """Whether a socket's buffer may be full; many small pieces fill it as well as large ones."""
        return self.small_buffers or self.max_sent > 0

    def host_of(self, number: int) -> str:
        """Return where the connection comes from that is accepted as this one, counted from 0."""
        return self.hosts[number % len(self.hosts)]


class FaultyHost(Host):
    """A simulated host with the faults of a kernel, which can be replaced at any time.

    Attributes:
        kernel: how its sockets behave.
    """

    accept_burst = 2  # so small that a few clients exceed it
    gentle_refusals = 1

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.kernel = Kernel()

    def accept(self, listening: Any, family: int, kind: int) -> tuple[Any, Any]:
        kernel = self.kernel
        if kernel.faults:
            number = kernel.faults.pop()
            raise OSError(number, os.strerror(number))
        sock, address = super().accept(listening, family, kind)
        sock.max_sent = kernel.max_sent
        if kernel.small_buffers:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SMALL_BUFFER)
        if kernel.hosts:
            address = (kernel.host_of(len(kernel.accepted)), 50007)
        kernel.accepted.append(sock)
        return sock, address

    def stream(self, sock: Any) -> trio.SocketStream:
        return trio.SocketStream(_FaultySocket(self, sock))

    def waiting(self, sock: Any) -> int:
        self.kernel.asked(sock)
        return super().waiting(sock)

    def poll(self) -> Any:
        self.kernel.polled()
        return super().poll()

    def open_spare(self) -> int:
        if self.kernel.spares_gone:
            self.kernel.spares_gone -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return super().open_spare()


class _FaultySocket(TrioSocket):
    """A socket of a stream, whose close may fail as close(2) may: the descriptor is closed then, too."""

    def __init__(self, host: FaultyHost, sock: StreamSocket) -> None:
        super().__init__(host, sock)
        self._kernel = host.kernel

    def close(self) -> None:
        was_open = self.fileno() >= 0
        super().close()
        if was_open and self._kernel.close_faults:
            number = self._kernel.close_faults.pop()
            self._kernel.closed_badly += 1
            raise OSError(number, os.strerror(number))
